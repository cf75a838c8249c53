// The device half of reduce.h: one block of kReduceLanes threads adds one chunk, in the same tree.
#pragma once

#include "reduce.h"

namespace pyslsac {

// The sum of squares of one chunk, valid in thread 0. A block that sums again needs a barrier between.
template <typename X>
__device__ __forceinline__ auto block_sum_squares(X x, int64_t count) {
  using T = std::decay_t<decltype(x[0])>;
  __shared__ T lane[kReduceLanes];
  T value = 0;
  for (int64_t i = threadIdx.x; i < count; i += kReduceLanes) {
    const T element = x[i];
    value = fma_rn(element, element, value);
  }
  lane[threadIdx.x] = value;
#pragma unroll
  for (int half = kReduceLanes / 2; half >= 32; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) lane[threadIdx.x] = value = value + lane[threadIdx.x + half];
  }
  if (threadIdx.x < 32) {
#pragma unroll
    for (int half = 16; half > 0; half /= 2) value = value + __shfl_down_sync(0xFFFFFFFF, value, half);
  }
  return value;
}

}  // namespace pyslsac
