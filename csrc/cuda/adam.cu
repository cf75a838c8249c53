#include "../adam.h"
#include "../four.cuh"
#include "../reduce.cuh"
#include "../tensor_list.cuh"

namespace pyslsac::cuda {

namespace {

constexpr int kThreads = 512;
using Launch = ListLaunch<Adam>;

template <typename T>
__device__ __forceinline__ double sum_of(const TensorChunk<AdamTensor>& c) {
  return block_sum_squares(Widened<T>{static_cast<const T*>(c.tensor->grad) + c.first}, c.count);
}

// Block 0 counts the steps, block 1 + c sums the launch's chunk c.
__global__ void __launch_bounds__(kReduceLanes) sum_chunk(const __grid_constant__ Launch launch) {
  const Adam args = launch.list();
  if (blockIdx.x == 0) {
    for (int64_t i = threadIdx.x; i < args.count; i += kReduceLanes) *args.tensors[i].step += 1;
    return;
  }
  const int64_t chunk = args.tensors[0].first_chunk + blockIdx.x - 1;
  const TensorChunk<AdamTensor> c = args.locate(chunk);
  const double sum = args.wide ? sum_of<double>(c) : sum_of<float>(c);
  if (threadIdx.x == 0) args.sums[chunk] = sum;
}

template <typename T>
__device__ __forceinline__ void move(const AdamElement<T>& e, const TensorChunk<AdamTensor>& c) {
  const AdamTensor& t = *c.tensor;
  for (int64_t i = 4 * threadIdx.x; i < c.count; i += 4 * kThreads) {
    const int high = static_cast<int>(c.count - i < 4 ? c.count - i : 4);
    T param[4], grad[4], m[4], v[4];
    load_four(t.param, c.first + i, 0, high, param);
    load_four(t.grad, c.first + i, 0, high, grad);
    load_four(t.exp_avg, c.first + i, 0, high, m);
    load_four(t.exp_avg_sq, c.first + i, 0, high, v);
    UNROLL for (int j = 0; j < 4; ++j) {
      grad[j] *= e.factor;
      e.move(param[j], grad[j], m[j], v[j]);
    }
    store_four(t.param, c.first + i, 0, high, param);
    if (e.factor != 1) store_four(t.grad, c.first + i, 0, high, grad);
    store_four(t.exp_avg, c.first + i, 0, high, m);
    store_four(t.exp_avg_sq, c.first + i, 0, high, v);
  }
}

template <typename T>
__device__ __forceinline__ void step(const Launch& launch, const Adam& args) {
  __shared__ AdamElement<T> of_run;
  const TensorChunk<AdamTensor> c = args.locate(args.tensors[0].first_chunk + blockIdx.x);
  if (threadIdx.x < 32) {
    const double factor = factor_of(launch, args, c.group);
    if (threadIdx.x == 0) of_run = AdamElement<T>::of(args, *c.tensor->step, factor);
  }
  __syncthreads();
  move(AdamElement<T>(of_run), c);
}

__global__ void __launch_bounds__(kThreads) step_chunk(const __grid_constant__ Launch launch) {
  const Adam args = launch.list();
  args.wide ? step<double>(launch, args) : step<float>(launch, args);
}

}  // namespace

void adam_sums(const Adam& args, void* stream) {
  for_each_launch(args, [&](const Launch& launch, int64_t chunks) {
    launch_kernel(sum_chunk, args.norms() ? chunks + 1 : 1, kReduceLanes, 0, stream, launch);
  });
}

void adam_factors(const Adam& args, void* stream) { add_groups(args, stream); }

void adam_step(const Adam& args, void* stream) {
  for_each_launch(args, [&](const Launch& launch, int64_t chunks) {
    launch_kernel(step_chunk, chunks, kThreads, 0, stream, launch);
  });
}

}  // namespace pyslsac::cuda
