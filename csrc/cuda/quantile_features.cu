#include "../launch.cuh"
#include "../quantile_features.h"

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

// A block to a state, a thread to an output, kQuantiles sums in each.
template <typename T>
__global__ void __launch_bounds__(kThreads, 2) features(QuantileFeatures<T> args) {
  __shared__ int list[kThreads];
  __shared__ T joint[kColumns][kQuantiles];
  const int64_t state = blockIdx.x, run = state / args.batch, width = args.width;
  const T* psi = args.psi + state * width;
  const T* weight = args.weight + run * width * args.outputs;
  for (int64_t start = 0; start < args.outputs; start += kThreads)
    for (int64_t first = 0; first < args.quantiles; first += kQuantiles) {
      const int64_t h = start + threadIdx.x;
      T sum[kQuantiles]{};
      for (int64_t k0 = 0; k0 < width; k0 += kThreads) {
        const int64_t left = width - k0;
        const int active = list_active(psi + k0, left < kThreads ? static_cast<int>(left) : kThreads, list);
        for (int column = 0; column < active; column += kColumns) {
          const int mine = column + threadIdx.x / kQuantiles;
          const int64_t n = first + threadIdx.x % kQuantiles;
          T value = 0;
          if (mine < active && n < args.quantiles) {
            const int64_t k = k0 + list[mine];
            const T* cosines = args.cosines + (state * args.quantiles + n) * args.inputs;
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
      if (h >= args.outputs) continue;
      T* to = args.features + (state * args.quantiles + first) * args.outputs + h;
      UNROLL for (int q = 0; q < kQuantiles; ++q) if (first + q < args.quantiles) to[q * args.outputs] =
          relu(sum[q] + args.bias[run * args.outputs + h]);
    }
}

// Scratch of the backward pass: psi phi and the gradient by phi's argument, both [G, B, K, N] and written where active,
// the gradient by the features' argument, [G, B, N, H], and each state's sum of it, [G, B, H].
template <typename T>
struct Scratch {
  T *joint, *phi, *grad, *bias;
  __device__ explicit Scratch(const QuantileFeaturesGrad<T>& args) {
    const QuantileFeatures<T>& a = args.forward;
    const int64_t each = a.runs * a.batch * a.width * a.quantiles;
    joint = args.scratch, phi = joint + each, grad = phi + each;
    bias = grad + a.runs * a.batch * a.quantiles * a.outputs;
  }
};

template <typename T>
__device__ __forceinline__ T sum_of_warp(T x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kAll, x, offset);
  return x;
}

// A block to a state, a warp to an active column.
template <typename T>
__global__ void __launch_bounds__(kThreads, 2) backward(QuantileFeaturesGrad<T> args) {
  const QuantileFeatures<T>& a = args.forward;
  const Scratch<T> scratch(args);
  const int lane = threadIdx.x % kWarp;
  const int64_t state = blockIdx.x, run = state / a.batch, rows = state * a.quantiles;
  for (int64_t k = threadIdx.x / kWarp; k < a.width; k += kWarps) {
    const T psi = a.psi[state * a.width + k];
    T psi_grad = 0;
    for (int64_t n = 0; is_active(psi) && n < a.quantiles; ++n) {
      T phi = 0, joint_grad = 0;
      for (int64_t c = lane; c < a.inputs; c += kWarp)
        phi = fma_rn(a.cosines[(rows + n) * a.inputs + c], a.phi_weight[(run * a.inputs + c) * a.width + k], phi);
      for (int64_t h = lane; h < a.outputs; h += kWarp) {
        const int64_t at = (rows + n) * a.outputs + h;
        const T grad = relu_grad(a.features[at], args.grad[at]);
        joint_grad = fma_rn(grad, a.weight[(run * a.width + k) * a.outputs + h], joint_grad);
      }
      phi = relu(sum_of_warp(phi) + a.phi_bias[run * a.width + k]);
      joint_grad = sum_of_warp(joint_grad);
      psi_grad = fma_rn(phi, joint_grad, psi_grad);
      if (!args.weights || lane != 0) continue;
      const int64_t at = (state * a.width + k) * a.quantiles + n;
      scratch.joint[at] = psi * phi;
      scratch.phi[at] = relu_grad(phi, psi * joint_grad);
    }
    if (lane == 0) args.psi[state * a.width + k] = psi_grad;
  }
  for (int64_t h = threadIdx.x; args.weights && h < a.outputs; h += kThreads) {
    T sum = 0;
    for (int64_t at = rows * a.outputs + h; at < (rows + a.quantiles) * a.outputs; at += a.outputs)
      sum += scratch.grad[at] = relu_grad(a.features[at], args.grad[at]);
    scratch.bias[state * a.outputs + h] = sum;
  }
}

// A block to a column k of a run: row k of weight, column k of phi_weight, phi_bias[k], each a sum over the states
// where k is active, in their order. Block K of a run adds the gradient by bias.
template <typename T>
__global__ void __launch_bounds__(kThreads, 2) weights(QuantileFeaturesGrad<T> args) {
  const QuantileFeatures<T>& a = args.forward;
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
    const int64_t c = j - a.outputs, stride = c < 0 ? a.outputs : a.inputs;
    const T* left = c < 0 ? scratch.joint : scratch.phi;
    const T* right = c < 0 ? scratch.grad + j : c < a.inputs ? a.cosines + c : nullptr;  // null: ones
    T sum = 0;
    for (int64_t state = first; state < first + a.batch; ++state) {
      if (!is_active(a.psi[state * a.width + k])) continue;
      const T* factor = left + (state * a.width + k) * a.quantiles;
      for (int64_t n = 0; n < a.quantiles; ++n)
        sum = fma_rn(factor[n], right ? right[(state * a.quantiles + n) * stride] : T{1}, sum);
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
int64_t quantile_features_scratch(const QuantileFeatures<T>& args) {
  return args.runs * args.batch * (args.quantiles * (2 * args.width + args.outputs) + args.outputs);
}

template <typename T>
void quantile_features(const QuantileFeatures<T>& args, void* stream) {
  launch_kernel(features<T>, args.runs * args.batch, kThreads, 0, stream, args);
}

template <typename T>
void quantile_features_backward(const QuantileFeaturesGrad<T>& args, void* stream) {
  launch_kernel(backward<T>, args.forward.runs * args.forward.batch, kThreads, 0, stream, args);
}

template <typename T>
void quantile_features_weights(const QuantileFeaturesGrad<T>& args, void* stream) {
  launch_kernel(weights<T>, args.forward.runs * (args.forward.width + 1), kThreads, 0, stream, args);
}

#define INSTANTIATE(T)                                                             \
  template int64_t quantile_features_scratch(const QuantileFeatures<T>&);          \
  template void quantile_features(const QuantileFeatures<T>&, void*);              \
  template void quantile_features_backward(const QuantileFeaturesGrad<T>&, void*); \
  template void quantile_features_weights(const QuantileFeaturesGrad<T>&, void*);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace pyslsac::cuda
