#include "../cosine.h"
#include "../implicit_quantiles.h"
#include "../launch.cuh"

namespace pyslsac::cuda {

namespace {

constexpr int kWarp = 32, kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kQuantiles = 8;  // of a state at a time
constexpr int kColumns = 32;   // active columns whose psi phi lie in shared memory at a time
constexpr unsigned kAll = 0xFFFFFFFF;

// The active columns among psi[0 .. count - 1], count <= kThreads, in order, into `list`; how many, in every thread.
// The last list has been read, and a barrier lies behind that.
template <typename T>
__device__ __forceinline__ int list_active(const T* psi, int count, int* list) {
  __shared__ int found[kWarps];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const bool active = threadIdx.x < count && is_active(psi[threadIdx.x]);
  const unsigned ballot = __ballot_sync(kAll, active);
  if (lane == 0) found[warp] = __popc(ballot);
  __syncthreads();
  int before = 0, total = 0;
  for (int w = 0; w < kWarps; ++w) {
    before += w < warp ? found[w] : 0;
    total += found[w];
  }
  if (active) list[before + __popc(ballot & ((1u << lane) - 1))] = threadIdx.x;
  __syncthreads();
  return total;
}

template <typename T>
__device__ __forceinline__ T sum_of_warp(T x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kAll, x, offset);
  return x;
}

// The cosines of every fraction, a thread to a number.
template <typename T>
__global__ void __launch_bounds__(kThreads) embed(ImplicitQuantiles<T> args, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) args.cosines[i] = cosine<T>(args.tau[i / args.inputs], static_cast<T>(i % args.inputs));
}

template <typename T>
void make_cosines(const ImplicitQuantiles<T>& args, void* stream) {
  const int64_t count = args.runs * args.batch * args.fractions * args.inputs;
  launch_kernel(embed<T>, static_cast<unsigned>((count + kThreads - 1) / kThreads), kThreads, 0, stream, args, count);
}

// A block to a state, a thread to an output, kQuantiles sums in each. kThreads outputs at a time add to the quantiles.
template <typename T>
__global__ void __launch_bounds__(kThreads, 2) forward(ImplicitQuantiles<T> args) {
  __shared__ int list[kThreads];
  __shared__ T joint[kColumns][kQuantiles];
  __shared__ T part[kWarps][kQuantiles];
  const int64_t state = blockIdx.x, run = state / args.batch, width = args.width;
  const T* psi = args.psi + state * width;
  const T* weight = args.weight + run * width * args.outputs;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int64_t first = 0; first < args.fractions; first += kQuantiles) {
    T quantile = 0;  // of the block's first kQuantiles threads
    for (int64_t start = 0; start < args.outputs; start += kThreads) {
      const int64_t h = start + threadIdx.x;
      T sum[kQuantiles]{};
      for (int64_t k0 = 0; k0 < width; k0 += kThreads) {
        const int64_t left = width - k0;
        const int active = list_active(psi + k0, left < kThreads ? static_cast<int>(left) : kThreads, list);
        for (int column = 0; column < active; column += kColumns) {
          const int mine = column + threadIdx.x / kQuantiles;
          const int64_t n = first + threadIdx.x % kQuantiles;
          T value = 0;
          if (mine < active && n < args.fractions) {
            const int64_t k = k0 + list[mine];
            const T* cosines = args.cosines + (state * args.fractions + n) * args.inputs;
            const T* phi_weight = args.phi_weight + run * args.inputs * width + k;
            T phi = args.phi_bias[run * width + k];
            for (int64_t c = 0; c < args.inputs; ++c) phi = fma_rn(cosines[c], phi_weight[c * width], phi);
            value = psi[k] * relu(phi);
          }
          joint[threadIdx.x / kQuantiles][threadIdx.x % kQuantiles] = value;
          __syncthreads();
          const int count = active - column < kColumns ? active - column : kColumns;
#pragma unroll 2
          for (int i = 0; h < args.outputs && i < count; ++i) {
            const T w = weight[(k0 + list[column + i]) * args.outputs + h];
            UNROLL for (int q = 0; q < kQuantiles; ++q) sum[q] = fma_rn(joint[i][q], w, sum[q]);
          }
          __syncthreads();
        }
      }
      const T bias = h < args.outputs ? args.bias[run * args.outputs + h] : T{};
      const T head = h < args.outputs ? args.head[run * args.outputs + h] : T{};
      UNROLL for (int q = 0; q < kQuantiles; ++q) {
        const T feature = relu(sum[q] + bias);
        const unsigned bits = __ballot_sync(kAll, h < args.outputs && is_active(feature));
        const T warps = sum_of_warp(head * feature);
        if (lane != 0) continue;
        part[warp][q] = warps;
        if (args.active && h < args.outputs && first + q < args.fractions)
          args.active[(state * args.fractions + first + q) * words(args.outputs) + h / kWarp] = bits;
      }
      __syncthreads();
      if (threadIdx.x < kQuantiles)
        for (int w = 0; w < kWarps; ++w) quantile += part[w][threadIdx.x];
      __syncthreads();
    }
    if (threadIdx.x < kQuantiles && first + threadIdx.x < args.fractions)
      args.quantiles[state * args.fractions + first + threadIdx.x] = quantile;
  }
}

// Scratch of the backward pass: psi phi and the gradient by phi's argument, both [G, B, K, N] and written where active,
// and each state's sum of the gradient by the features' argument, [G, B, H].
template <typename T>
struct Scratch {
  T *joint, *phi, *bias;
  __device__ explicit Scratch(const ImplicitQuantilesGrad<T>& args) {
    const ImplicitQuantiles<T>& a = args.forward;
    const int64_t each = a.runs * a.batch * a.width * a.fractions;
    joint = args.scratch, phi = joint + each, bias = phi + each;
  }
};

// The gradient by the argument of feature h of a row.
template <typename T>
__device__ __forceinline__ T feature_grad(const ImplicitQuantilesGrad<T>& args, int64_t row, int64_t h) {
  return args.forward.active[row * words(args.forward.outputs) + h / 32] >> (h % 32) & 1 ? args.grad[row] : T{};
}

// A block to a state, a warp to an active column.
template <typename T>
__global__ void __launch_bounds__(kThreads, 2) backward(ImplicitQuantilesGrad<T> args) {
  const ImplicitQuantiles<T>& a = args.forward;
  const Scratch<T> scratch(args);
  const int lane = threadIdx.x % kWarp;
  const int64_t state = blockIdx.x, run = state / a.batch, rows = state * a.fractions;
  for (int64_t k = threadIdx.x / kWarp; k < a.width; k += kWarps) {
    const T psi = a.psi[state * a.width + k];
    T psi_grad = 0;
    for (int64_t n = 0; is_active(psi) && n < a.fractions; ++n) {
      T phi = 0, joint_grad = 0;
      for (int64_t c = lane; c < a.inputs; c += kWarp)
        phi = fma_rn(a.cosines[(rows + n) * a.inputs + c], a.phi_weight[(run * a.inputs + c) * a.width + k], phi);
      for (int64_t h = lane; h < a.outputs; h += kWarp)
        joint_grad = fma_rn(feature_grad(args, rows + n, h), a.weight[(run * a.width + k) * a.outputs + h], joint_grad);
      phi = relu(sum_of_warp(phi) + a.phi_bias[run * a.width + k]);
      joint_grad = sum_of_warp(joint_grad);
      psi_grad = fma_rn(phi, joint_grad, psi_grad);
      if (!args.weights || lane != 0) continue;
      const int64_t at = (state * a.width + k) * a.fractions + n;
      scratch.joint[at] = psi * phi;
      scratch.phi[at] = relu_grad(phi, psi * joint_grad);
    }
    if (lane == 0) args.psi[state * a.width + k] = psi_grad;
  }
  for (int64_t h = threadIdx.x; args.weights && h < a.outputs; h += kThreads) {
    T sum = 0;
    for (int64_t row = rows; row < rows + a.fractions; ++row) sum += feature_grad(args, row, h);
    scratch.bias[state * a.outputs + h] = sum;
  }
}

// A block to a column k of a run: row k of weight, column k of phi_weight, phi_bias[k], each a sum over the states
// where k is active, in their order. Block K of a run adds the gradient by bias.
template <typename T>
__global__ void __launch_bounds__(kThreads, 2) weights(ImplicitQuantilesGrad<T> args) {
  const ImplicitQuantiles<T>& a = args.forward;
  const Scratch<T> scratch(args);
  const int64_t run = blockIdx.x / (a.width + 1), k = blockIdx.x % (a.width + 1), first = run * a.batch;
  if (k == a.width) {
    for (int64_t h = threadIdx.x; h < a.outputs; h += kThreads) {
      T sum = 0;
      for (int64_t state = first; state < first + a.batch; ++state) sum += scratch.bias[state * a.outputs + h];
      args.bias[run * a.outputs + h] = sum;
    }
    return;
  }
  for (int64_t j = threadIdx.x; j <= a.outputs + a.inputs; j += kThreads) {
    const int64_t c = j - a.outputs;
    const T* left = c < 0 ? scratch.joint : scratch.phi;
    T sum = 0;
    for (int64_t state = first; state < first + a.batch; ++state) {
      if (!is_active(a.psi[state * a.width + k])) continue;
      const T* factor = left + (state * a.width + k) * a.fractions;
      for (int64_t n = 0, row = state * a.fractions; n < a.fractions; ++n, ++row)
        sum = fma_rn(factor[n],
                     c < 0          ? feature_grad(args, row, j)
                     : c < a.inputs ? a.cosines[row * a.inputs + c]
                                    : 1,
                     sum);
    }
    if (c < 0)
      args.weight[(run * a.width + k) * a.outputs + j] = sum;
    else if (c < a.inputs)
      args.phi_weight[(run * a.inputs + c) * a.width + k] = sum;
    else
      args.phi_bias[run * a.width + k] = sum;
  }
}

}  // namespace

template <typename T>
int64_t implicit_quantiles_scratch(const ImplicitQuantiles<T>& args) {
  return args.runs * args.batch * (2 * args.fractions * args.width + args.outputs);
}

template <typename T>
void implicit_quantiles(const ImplicitQuantiles<T>& args, void* stream) {
  make_cosines(args, stream);
  launch_kernel(forward<T>, args.runs * args.batch, kThreads, 0, stream, args);
}

template <typename T>
void implicit_quantiles_backward(const ImplicitQuantilesGrad<T>& args, void* stream) {
  make_cosines(args.forward, stream);
  launch_kernel(backward<T>, args.forward.runs * args.forward.batch, kThreads, 0, stream, args);
}

template <typename T>
void implicit_quantiles_weights(const ImplicitQuantilesGrad<T>& args, void* stream) {
  launch_kernel(weights<T>, args.forward.runs * (args.forward.width + 1), kThreads, 0, stream, args);
}

#define INSTANTIATE(T)                                                               \
  template int64_t implicit_quantiles_scratch(const ImplicitQuantiles<T>&);          \
  template void implicit_quantiles(const ImplicitQuantiles<T>&, void*);              \
  template void implicit_quantiles_backward(const ImplicitQuantilesGrad<T>&, void*); \
  template void implicit_quantiles_weights(const ImplicitQuantilesGrad<T>&, void*);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace pyslsac::cuda
