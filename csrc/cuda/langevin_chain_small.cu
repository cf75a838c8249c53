// The whole chain for small batches: a cluster of blocks, one for each member, moves 16 samples. Each block keeps its
// member's middle layer in shared memory (bfloat16, one copy for both directions) and streams a third hidden layer from
// L2; blocks exchange Q and its gradient once a move, and every block makes the same move.
#include "../bfloat16.h"
#include "../langevin_chain.cuh"
#include "../mma.cuh"

namespace pyslsac::cuda {

namespace {

constexpr int kRows = ChainSmall::kRows, kWarps = ChainSmall::kWarps, kThreads = 32 * kWarps;
constexpr int kChunk = ChainSmall::kChunk;  // rows of the streamed layer that stand in shared memory at once, twice
constexpr unsigned kAll = 0xFFFFFFFF;

// Offset of (row, column) in a tile of rows of W bfloat16: 16-byte pieces are permuted within 128 bytes, so that eight
// rows of one column lie in different banks.
template <int W>
__device__ __forceinline__ int swizzled(int row, int column) {
  return row * W + (((column >> 3) ^ (row & 7)) << 3) + (column & 7);
}

template <int W>
struct Shared {                     // W bfloat16 a row where nothing else is said
  Bfloat16 *middle, *stage, *tile;  // [W], [2][kChunk] or none, [2][kRows]
  float *first, *action, *part, *q_part, *exchange;
  // [A][W] fp32, [kRows][A], [kWarps][kRows][A], [kWarps][kRows], [2][members][kRows][A + 1]

  __device__ Shared(void* memory, int layers, int64_t actions) {
    middle = static_cast<Bfloat16*>(memory);
    stage = middle + W * W;
    tile = stage + (layers == 4 ? 2 * kChunk * W : 0);
    first = reinterpret_cast<float*>(tile + 2 * kRows * W);
    action = first + actions * W;
    part = action + kRows * actions;
    q_part = part + kWarps * kRows * actions;
    exchange = q_part + kWarps * kRows;
  }
};

// `rows` rows of W bfloat16 on their way from global memory into a tile.
template <int W>
__device__ void fetch(Bfloat16* tile, const Bfloat16* from, int rows) {
  for (int i = threadIdx.x; i < rows * (W / 8); i += kThreads) {
    const int row = i / (W / 8), column = i % (W / 8) * 8;
    copy_async(tile + swizzled<W>(row, column), from + static_cast<int64_t>(row) * W + column);
  }
  copy_async_commit();
}

// Each thread holds, of the block's 16 x W values, rows r and r + 8 (r = lane / 4), columns 64 t + 8 warp + 2 (lane %
// 4) and the next: value[t] = {row r: 2 columns, row r + 8: 2 columns}, as mma leaves them.
template <int W>
struct Values {
  float at[W / 64][4];
};

template <int W>
__device__ __forceinline__ int column_of(int t) {
  return 64 * t + 8 * (threadIdx.x / 32) + 2 * (threadIdx.x % 4);
}

// value += tile[16, 32 columns from k] @ weight rows, for column tile t. Forward: rows k.. of `weight` are the layer's
// inputs. Backward: rows n.. of it are the outputs of this product.
template <int W>
__device__ __forceinline__ void multiply(float (&value)[4], const uint32_t (&a)[2][4], const Bfloat16* weight, int row,
                                         int column, bool backward) {
  const int lane = threadIdx.x % 32;
  uint32_t b[4];
  if (backward)
    load_matrix(b, weight + swizzled<W>(row + lane % 8, column + lane / 8 * 8));
  else
    load_matrix_transposed(b, weight + swizzled<W>(row + lane, column));
  mma_bf16(value, a[0], b);
  mma_bf16(value, a[1], b + 2);
}

template <int W>
__device__ __forceinline__ void load_rows(uint32_t (&a)[2][4], const Bfloat16* tile, int k) {
  const int lane = threadIdx.x % 32;
  UNROLL for (int half = 0; half < 2; ++half)
      load_matrix(a[half], tile + swizzled<W>(lane % 16, k + 16 * half + lane / 16 * 8));
}

// value += tile @ weight, or tile @ weight^T: all of `rows` rows of weight, which are rows first.. of the layer.
template <int W>
__device__ __forceinline__ void forward(Values<W>& value, const Bfloat16* tile, const Bfloat16* weight, int first,
                                        int rows) {
  for (int k = 0; k < rows; k += 32) {
    uint32_t a[2][4];
    load_rows<W>(a, tile, first + k);
    UNROLL for (int t = 0; t < W / 64; ++t)
        multiply<W>(value.at[t], a, weight, k, 64 * t + 8 * (threadIdx.x / 32), false);
  }
}

template <int W>
__device__ __forceinline__ void backward(float (&value)[4], const Bfloat16* tile, const Bfloat16* weight, int row) {
#pragma unroll 4
  for (int k = 0; k < W; k += 32) {
    uint32_t a[2][4];
    load_rows<W>(a, tile, k);
    multiply<W>(value, a, weight, row + 8 * (threadIdx.x / 32), k, true);
  }
}

template <int W>
__device__ __forceinline__ void store(Bfloat16* tile, const Values<W>& value) {
  const int row = threadIdx.x % 32 / 4;
  UNROLL for (int t = 0; t < W / 64; ++t) {
    UNROLL for (int half = 0; half < 2; ++half) {
      Bfloat16* to = tile + swizzled<W>(row + 8 * half, column_of<W>(t));
      to[0] = narrow<Bfloat16>(value.at[t][2 * half]), to[1] = narrow<Bfloat16>(value.at[t][2 * half + 1]);
    }
  }
}

template <int W, Activation kind>
__device__ __forceinline__ void activate_as(Values<W>& value, Values<W>& slope) {
  UNROLL for (int t = 0; t < W / 64; ++t) {
    UNROLL for (int i = 0; i < 4; ++i) {
      const Activated a = activated<kind>(value.at[t][i]);
      value.at[t][i] = a.value, slope.at[t][i] = a.slope;
    }
  }
}

// value -> its activation, slope -> the derivative there.
template <int W>
__device__ __forceinline__ void activate(Activation kind, Values<W>& value, Values<W>& slope) {
  switch (kind) {
    case Activation::relu: return activate_as<W, Activation::relu>(value, slope);
    case Activation::silu: return activate_as<W, Activation::silu>(value, slope);
    case Activation::gelu: return activate_as<W, Activation::gelu>(value, slope);
    case Activation::mish: return activate_as<W, Activation::mish>(value, slope);
    default: return activate_as<W, Activation::tanh>(value, slope);
  }
}

// value += what one input adds through its row of weights: `low` in row r, `high` in row r + 8.
template <int W>
__device__ __forceinline__ void add_input(Values<W>& value, float low, float high, const float* weight) {
  UNROLL for (int t = 0; t < W / 64; ++t) {
    UNROLL for (int i = 0; i < 4; ++i) value.at[t][i] =
        fma_rn(i < 2 ? low : high, weight[column_of<W>(t) + i % 2], value.at[t][i]);
  }
}

template <int W>
__device__ __forceinline__ void multiply_by(Values<W>& value, const Values<W>& factor) {
  UNROLL for (int t = 0; t < W / 64; ++t) UNROLL for (int i = 0; i < 4; ++i) value.at[t][i] *= factor.at[t][i];
}

// A hidden layer that is streamed: chunks of kChunk rows go through two buffers. Forward begins with chunks 0 and 1 in
// them and ends with the last two, with which backward begins, and so on.
template <int W>
struct Streamed {
  static constexpr int kChunks = W / kChunk;
  Bfloat16* stage;
  const Bfloat16* weight;  // [W, W] in global memory

  __device__ Bfloat16* buffer(int chunk) const { return stage + chunk % 2 * kChunk * W; }

  __device__ void fetch_chunk(int chunk) const { fetch<W>(buffer(chunk), weight + chunk * kChunk * W, kChunk); }

  // What was fetched is there, and nobody reads the chunk before any more.
  __device__ static void turn() {
    copy_async_wait<0>();
    __syncthreads();
  }

  __device__ void forward_through(Values<W>& value, const Bfloat16* tile) const {
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      turn();
      if (chunk >= 1 && chunk + 1 < kChunks) fetch_chunk(chunk + 1);
      forward<W>(value, tile, buffer(chunk), chunk * kChunk, kChunk);
    }
  }

  __device__ void backward_through(Values<W>& value, const Bfloat16* tile) const {
    UNROLL for (int chunk = kChunks - 1; chunk >= 0; --chunk) {
      turn();
      if (chunk + 1 < kChunks && chunk >= 1) fetch_chunk(chunk - 1);
      backward<W>(value.at[chunk], tile, buffer(chunk), 0);
    }
  }
};

template <int W, int Layers>  // Layers: 3, or 4, with the output layer
__global__ void __launch_bounds__(kThreads, 1) chain(const __grid_constant__ ChainSmall args) {
  const LangevinChain& c = args.chain;
  const int rank = cluster_rank(), row = threadIdx.x % 32 / 4, warp = threadIdx.x / 32;
  const int64_t tiles = (c.batch + kRows - 1) / kRows, place = blockIdx.x / c.members, actions = c.action_dim;
  const Samples samples{place / tiles, place % tiles * kRows, min(int64_t{kRows}, c.batch - place % tiles * kRows)};
  const ChainGroup& group = c.group[group_of(c, rank)];
  const int64_t member = samples.run * group.members + rank - group.first;
  const Shared<W> shared(dynamic_shared<unsigned char>(), Layers, actions);
  const Bfloat16* streamed = args.third + (samples.run * c.members + rank) * W * W;
  const Streamed<W> third{shared.stage, Layers == 4 ? streamed : nullptr};

  if (Layers == 4) {
    third.fetch_chunk(0);
    if (W > kChunk) third.fetch_chunk(1);
  }
  const float *first = group.weight[0] + member * (c.obs_dim + actions) * W, *middle = group.weight[1] + member * W * W;
  for (int i = 2 * threadIdx.x; i < W * W; i += 2 * kThreads) {
    Bfloat16* to = shared.middle + swizzled<W>(i / W, i % W);
    to[0] = narrow<Bfloat16>(middle[i]), to[1] = narrow<Bfloat16>(middle[i + 1]);
  }
  for (int64_t i = threadIdx.x; i < actions * W; i += kThreads) shared.first[i] = first[c.obs_dim * W + i];
  const int64_t start = samples.run * c.batch + samples.first;
  for (int64_t i = threadIdx.x; i < kRows * actions; i += kThreads)
    shared.action[i] = i < samples.present * actions ? c.start[start * actions + i] : 0.0f;
  Values<W> base;  // layer 1 without the action
  float bias[Layers - 2][W / 64][2], out[W / 64][2];
  UNROLL for (int t = 0; t < W / 64; ++t) {
    UNROLL for (int i = 0; i < 4; ++i) {
      const int64_t at = member * W + column_of<W>(t) + i % 2;
      base.at[t][i] = group.bias[0][at], out[t][i % 2] = group.weight[Layers - 1][at];
      UNROLL for (int layer = 0; layer < Layers - 2; ++layer) bias[layer][t][i % 2] = group.bias[layer + 1][at];
    }
  }
  const float* observed = c.obs + start * c.obs_dim;
  for (int64_t i = 0; i < c.obs_dim; ++i) {
    const float low = row < samples.present ? observed[row * c.obs_dim + i] : 0.0f;
    const float high = row + 8 < samples.present ? observed[(row + 8) * c.obs_dim + i] : 0.0f;
    add_input<W>(base, low, high, first + i * W);
  }
  const float out_bias = group.bias[Layers - 1][member];
  cluster_sync();  // and the other blocks have begun

  for (int64_t k = 0; k < c.steps + (c.values ? 1 : 0); ++k) {
    Values<W> value = base, slope[Layers - 1];
    if (group.step_bias) {
      const int64_t move = samples.run * c.steps + min(k, c.steps - 1);
      const float* extra = group.step_bias + (move * group.members + rank - group.first) * W;
      add_input<W>(value, 1.0f, 1.0f, extra);
    }
    for (int64_t i = 0; i < actions; ++i) {
      const float low = shared.action[row * actions + i], high = shared.action[(row + 8) * actions + i];
      add_input<W>(value, low, high, shared.first + i * W);
    }
    activate<W>(group.activation, value, slope[0]);
    UNROLL for (int layer = 0; layer < Layers - 2; ++layer) {
      Bfloat16* tile = shared.tile + layer * kRows * W;
      store<W>(tile, value);
      UNROLL for (int t = 0; t < W / 64; ++t) UNROLL for (int i = 0; i < 4; ++i) value.at[t][i] = bias[layer][t][i % 2];
      if (layer == 0) {
        __syncthreads();
        forward<W>(value, tile, shared.middle, 0, W);
      } else {
        third.forward_through(value, tile);
      }
      activate<W>(group.activation, value, slope[layer + 1]);
    }
    float q[2] = {};
    UNROLL for (int t = 0; t < W / 64; ++t) UNROLL for (int i = 0; i < 4; ++i) q[i / 2] =
        fma_rn(value.at[t][i], out[t][i % 2], q[i / 2]);
    UNROLL for (int half = 0; half < 2; ++half) {
      q[half] += __shfl_xor_sync(kAll, q[half], 1);
      q[half] += __shfl_xor_sync(kAll, q[half], 2);
      if (threadIdx.x % 4 == 0) shared.q_part[warp * kRows + row + 8 * half] = q[half];
    }
    if (k == c.steps) break;

    UNROLL for (int t = 0; t < W / 64; ++t) UNROLL for (int i = 0; i < 4; ++i) value.at[t][i] =
        out[t][i % 2] * slope[Layers - 2].at[t][i];
    UNROLL for (int layer = Layers - 3; layer >= 0; --layer) {
      Bfloat16* tile = shared.tile + (1 - layer) * kRows * W;
      store<W>(tile, value);
      value = {};
      if (layer == 1) {
        third.backward_through(value, tile);
      } else {
        __syncthreads();
        UNROLL for (int t = 0; t < W / 64; ++t) backward<W>(value.at[t], tile, shared.middle, 64 * t);
      }
      multiply_by<W>(value, slope[layer]);
    }
    for (int64_t i = 0; i < actions; ++i) {
      float sum[2] = {};
      UNROLL for (int t = 0; t < W / 64; ++t) {
        const float* weight = shared.first + i * W + column_of<W>(t);
        UNROLL for (int j = 0; j < 4; ++j) sum[j / 2] = fma_rn(value.at[t][j], weight[j % 2], sum[j / 2]);
      }
      UNROLL for (int half = 0; half < 2; ++half) {
        sum[half] += __shfl_xor_sync(kAll, sum[half], 1);
        sum[half] += __shfl_xor_sync(kAll, sum[half], 2);
        if (threadIdx.x % 4 == 0) shared.part[(warp * kRows + row + 8 * half) * actions + i] = sum[half];
      }
    }
    __syncthreads();
    float* found = shared.exchange + k % 2 * c.members * kRows * (actions + 1);
    tell_cluster<kRows, kWarps>(found, rank, c.members, shared.part, shared.q_part, out_bias, actions);
    cluster_sync();
    make_move<kRows>(c, samples, k, found, shared.action, rank == 0);
    __syncthreads();
  }
  if (!c.values) return;
  __syncthreads();
  write_values<kRows, kWarps>(c, samples, rank, shared.q_part, out_bias);
}

// A third hidden layer's weights as bfloat16, a block to each member of each run.
__global__ void __launch_bounds__(kThreads) narrow_third(const __grid_constant__ ChainSmall args) {
  const LangevinChain& c = args.chain;
  const int64_t run = blockIdx.x / c.members, rank = blockIdx.x % c.members;
  const ChainGroup& group = c.group[group_of(c, rank)];
  const int64_t size = group.width * group.width;
  const float* from = group.weight[2] + (run * group.members + rank - group.first) * size;
  for (int64_t i = threadIdx.x; i < size; i += kThreads) args.third[blockIdx.x * size + i] = narrow<Bfloat16>(from[i]);
}

template <int W>
void launch_width(const ChainSmall& args, void* stream) {
  const LangevinChain& c = args.chain;
  const int layers = c.group[0].layers;
  const int64_t blocks = c.runs * ((c.batch + kRows - 1) / kRows) * c.members;
  const int64_t bytes = ChainSmall::shared_bytes(W, layers, c.action_dim, c.members);
  launch_cluster(layers == 3 ? chain<W, 3> : chain<W, 4>, blocks, kThreads, c.members, bytes, stream, args);
}

}  // namespace

void langevin_chain_small(const ChainSmall& args, void* stream) {
  const LangevinChain& c = args.chain;
  if (c.group[0].layers == 4) launch_kernel(narrow_third, dim3(c.runs * c.members), dim3(kThreads), 0, stream, args);
  switch (args.chain.group[0].width) {
    case 64: return launch_width<64>(args, stream);
    case 128: return launch_width<128>(args, stream);
    case 192: return launch_width<192>(args, stream);
    default: return launch_width<256>(args, stream);
  }
}

}  // namespace pyslsac::cuda
