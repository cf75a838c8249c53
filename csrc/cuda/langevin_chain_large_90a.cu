// The whole chain for large batches of critics with two hidden layers: a cluster of blocks, one for each member, moves
// 64 samples. Each block keeps its member's hidden matrix in shared memory (bfloat16, one copy for both directions);
// two warp groups share the columns. Blocks exchange Q and its gradient once a move, and every block makes the same
// move.
#include <type_traits>

#include "../langevin_chain.cuh"
#include "../wgmma.cuh"

namespace pyslsac::cuda {

namespace {

constexpr int kRows = ChainLarge::kRows, kSides = ChainLarge::kSides, kThreads = 128 * kSides;
constexpr uintptr_t kAlign = ChainLarge::kAlign;

template <int W>
struct Shared {             // tiles in panels; bfloat16 where nothing else is said
  Bfloat16 *middle, *tile;  // [W, W], [2][kRows, W]
  float *first, *action, *part, *q_part, *exchange;
  // [A, W], [kRows, A], [kSides, kRows, A], [kSides, kRows], [2][members, kRows, A + 1]

  __device__ Shared(unsigned char* memory, int64_t actions) {
    middle = reinterpret_cast<Bfloat16*>((reinterpret_cast<uintptr_t>(memory) + kAlign - 1) / kAlign * kAlign);
    tile = middle + W * W;
    first = reinterpret_cast<float*>(tile + 2 * kRows * W);
    action = first + actions * W;
    part = action + kRows * actions;
    q_part = part + kSides * kRows * actions;
    exchange = q_part + kSides * kRows;
  }
};

// What a thread holds of the block's 64 x W values: as wgmma leaves them, its group's columns N (t / 128) + 8 j + ...
template <int W>
struct Values {
  static constexpr int N = W / kSides;
  float at[N / 8][4];
};

template <int W>
struct Slopes {  // as pairs of bfloat16
  uint32_t at[W / kSides / 8][2];
};

template <int W>
__device__ __forceinline__ int column_of(int j) {
  return W / kSides * (threadIdx.x / 128) + 8 * j + 2 * (threadIdx.x % 4);
}

__device__ __forceinline__ uint32_t pair(float low, float high) {
  return narrow<Bfloat16>(low).bits | static_cast<uint32_t>(narrow<Bfloat16>(high).bits) << 16;
}

__device__ __forceinline__ float of_pair(uint32_t pair, int i) { return float_of(i ? pair & 0xFFFF0000 : pair << 16); }

// As in_panels says, for the thread's own values: what does not depend on the thread is left to constants.
template <int W>
__device__ __forceinline__ void store(Bfloat16* tile, const Values<W>& value, int row) {
  constexpr int N = Values<W>::N;
  const int side = threadIdx.x / 128, turn = row % 8;
  Bfloat16* own =
      tile + in_panels(kRows, row, 0) - turn * 8 + N * side / kPanel * kRows * kPanel + 2 * (threadIdx.x % 4);
  UNROLL for (int piece = 0; piece < 8 && piece < N / 8; ++piece) {
    Bfloat16* to = own + ((N * side / 8 + piece) % 8 ^ turn) * 8;
    UNROLL for (int j = piece; j < N / 8; j += 8) {
      UNROLL for (int half = 0; half < 2; ++half) *
          reinterpret_cast<uint32_t*>(to + (j / 8 * kRows + 8 * half) * kPanel) =
          pair(value.at[j][2 * half], value.at[j][2 * half + 1]);
    }
  }
  show_to_wgmma();
}

// value -> its activation, slope -> the derivative there.
template <int W, Activation kind>
__device__ __forceinline__ void activate_as(Values<W>& value, Slopes<W>& slope) {
  UNROLL for (int j = 0; j < Values<W>::N / 8; ++j) {
    UNROLL for (int half = 0; half < 2; ++half) {
      const Activated low = activated<kind>(value.at[j][2 * half]), high = activated<kind>(value.at[j][2 * half + 1]);
      value.at[j][2 * half] = low.value, value.at[j][2 * half + 1] = high.value;
      slope.at[j][half] = pair(low.slope, high.slope);
    }
  }
}

// The last hidden layer: adds what a row's values make of Q to q, and leaves dQ/dvalue in their place.
template <int W, Activation kind>
__device__ __forceinline__ void finish_as(Values<W>& value, const float* out, float q[2]) {
  UNROLL for (int j = 0; j < Values<W>::N / 8; ++j) {
    UNROLL for (int i = 0; i < 4; ++i) {
      const float weight = out[column_of<W>(j) + i % 2];
      const Activated a = activated<kind>(value.at[j][i]);
      q[i / 2] = fma_rn(a.value, weight, q[i / 2]);
      value.at[j][i] = weight * a.slope;
    }
  }
}

// fn(kind as a constant).
template <typename Fn>
__device__ __forceinline__ void with_activation(Activation kind, Fn fn) {
  switch (kind) {
    case Activation::relu: return fn(std::integral_constant<Activation, Activation::relu>());
    case Activation::silu: return fn(std::integral_constant<Activation, Activation::silu>());
    case Activation::gelu: return fn(std::integral_constant<Activation, Activation::gelu>());
    case Activation::mish: return fn(std::integral_constant<Activation, Activation::mish>());
    default: return fn(std::integral_constant<Activation, Activation::tanh>());
  }
}

// value += what one input adds through its row of weights: `low` in the first row, `high` in the second.
template <int W>
__device__ __forceinline__ void add_input(Values<W>& value, float low, float high, const float* weight) {
  UNROLL for (int j = 0; j < Values<W>::N / 8; ++j) {
    UNROLL for (int i = 0; i < 4; ++i) value.at[j][i] =
        fma_rn(i < 2 ? low : high, weight[column_of<W>(j) + i % 2], value.at[j][i]);
  }
}

// Sums over a row's columns of this group: the four lanes that hold a row add up; the first writes to sums[row].
__device__ __forceinline__ void add_up(float low, float high, float* sums, int64_t stride, int row) {
  UNROLL for (int bits = 1; bits < 4; bits *= 2) {
    low += __shfl_xor_sync(0xFFFFFFFF, low, bits);
    high += __shfl_xor_sync(0xFFFFFFFF, high, bits);
  }
  if (threadIdx.x % 4 == 0) sums[row * stride] = low, sums[(row + 8) * stride] = high;
}

template <int W>
__global__ void __launch_bounds__(kThreads, 1) chain(const __grid_constant__ ChainLarge args) {
  const LangevinChain& c = args.chain;
  constexpr int N = Values<W>::N;
  const int rank = cluster_rank(), side = threadIdx.x / 128, row = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
  const int64_t tiles = (c.batch + kRows - 1) / kRows, place = blockIdx.x / c.members, actions = c.action_dim;
  const Samples samples{place / tiles, place % tiles * kRows, min(int64_t{kRows}, c.batch - place % tiles * kRows)};
  const ChainGroup& group = c.group[group_of(c, rank)];
  const int64_t member = samples.run * group.members + rank - group.first;
  const Shared<W> shared(dynamic_shared<unsigned char>(), actions);

  const float *first = group.weight[0] + member * (c.obs_dim + actions) * W, *middle = group.weight[1] + member * W * W;
  for (int i = 2 * threadIdx.x; i < W * W; i += 2 * kThreads)
    *reinterpret_cast<uint32_t*>(shared.middle + in_panels(W, i / W, i % W)) = pair(middle[i], middle[i + 1]);
  show_to_wgmma();
  for (int64_t i = threadIdx.x; i < actions * W; i += kThreads) shared.first[i] = first[c.obs_dim * W + i];
  const int64_t start = samples.run * c.batch + samples.first;
  for (int64_t i = threadIdx.x; i < kRows * actions; i += kThreads)
    shared.action[i] = i < samples.present * actions ? c.start[start * actions + i] : 0.0f;
  Values<W> base{};  // layer 1 without the action
  add_input<W>(base, 1.0f, 1.0f, group.bias[0] + member * W);
  const float* observed = c.obs + start * c.obs_dim;
  for (int64_t i = 0; i < c.obs_dim; ++i) {
    const float low = row < samples.present ? observed[row * c.obs_dim + i] : 0.0f;
    const float high = row + 8 < samples.present ? observed[(row + 8) * c.obs_dim + i] : 0.0f;
    add_input<W>(base, low, high, first + i * W);
  }
  const float *bias = group.bias[1] + member * W, *out = group.weight[2] + member * W;
  const float out_bias = group.bias[2][member];
  cluster_sync();  // and the other blocks have begun

  for (int64_t k = 0; k < c.steps + (c.values ? 1 : 0); ++k) {
    Values<W> value = base;
    Slopes<W> slope;
    if (group.step_bias) {
      const int64_t move = samples.run * c.steps + min(k, c.steps - 1);
      add_input<W>(value, 1.0f, 1.0f, group.step_bias + (move * group.members + rank - group.first) * W);
    }
    for (int64_t i = 0; i < actions; ++i) {
      const float low = shared.action[row * actions + i], high = shared.action[(row + 8) * actions + i];
      add_input<W>(value, low, high, shared.first + i * W);
    }
    with_activation(group.activation, [&](auto kind) { activate_as<W, decltype(kind)::value>(value, slope); });
    store<W>(shared.tile, value, row);
    value = {};
    add_input<W>(value, 1.0f, 1.0f, bias);
    __syncthreads();
    wgmma_begin(value.at);
    UNROLL for (int i = 0; i < W; i += 16) wgmma_forward<N>(value.at, shared.tile, i, shared.middle, W, N * side);
    wgmma_end(value.at);
    float q[2] = {};
    with_activation(group.activation, [&](auto kind) { finish_as<W, decltype(kind)::value>(value, out, q); });
    add_up(q[0], q[1], shared.q_part + side * kRows, 1, row);
    if (k == c.steps) break;

    Bfloat16* tile = shared.tile + kRows * W;
    store<W>(tile, value, row);
    value = {};
    __syncthreads();
    wgmma_begin(value.at);
    UNROLL for (int i = 0; i < W; i += 16) wgmma_backward<N>(value.at, tile, i, shared.middle, W, N * side);
    wgmma_end(value.at);
    UNROLL for (int j = 0; j < N / 8; ++j) UNROLL for (int i = 0; i < 4; ++i) value.at[j][i] *=
        of_pair(slope.at[j][i / 2], i % 2);
    for (int64_t i = 0; i < actions; ++i) {
      float sum[2] = {};
      UNROLL for (int j = 0; j < N / 8; ++j) {
        const float* weight = shared.first + i * W + column_of<W>(j);
        UNROLL for (int l = 0; l < 4; ++l) sum[l / 2] = fma_rn(value.at[j][l], weight[l % 2], sum[l / 2]);
      }
      add_up(sum[0], sum[1], shared.part + side * kRows * actions + i, actions, row);
    }
    __syncthreads();
    float* found = shared.exchange + k % 2 * c.members * kRows * (actions + 1);
    tell_cluster<kRows, kSides>(found, rank, c.members, shared.part, shared.q_part, out_bias, actions);
    cluster_sync();
    make_move<kRows>(c, samples, k, found, shared.action, rank == 0);
    __syncthreads();
  }
  if (!c.values) return;
  __syncthreads();
  write_values<kRows, kSides>(c, samples, rank, shared.q_part, out_bias);
}

template <int W>
void launch_width(const ChainLarge& args, void* stream) {
  const LangevinChain& c = args.chain;
  const int64_t blocks = c.runs * ((c.batch + kRows - 1) / kRows) * c.members;
  const int64_t bytes = ChainLarge::shared_bytes(W, c.action_dim, c.members);
  launch_cluster(chain<W>, dim3(blocks), dim3(kThreads), c.members, bytes, stream, args);
}

}  // namespace

void langevin_chain_large(const ChainLarge& args, void* stream) {
  switch (args.chain.group[0].width) {
    case 64: return launch_width<64>(args, stream);
    case 128: return launch_width<128>(args, stream);
    default: return launch_width<256>(args, stream);
  }
}

}  // namespace pyslsac::cuda
