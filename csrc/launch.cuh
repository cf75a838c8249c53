// What a kernel file needs that is no C++: the launch and memory whose size the launch gives. A plain C++ compiler
// takes both from the emulation in tests/cuda_emulation/, so that the same file runs, and is checked, without a GPU.
#pragma once

#include <cstddef>

#ifdef __CUDACC__

namespace pyslsac {

constexpr size_t kSharedBytes = 48 * 1024;  // what a launch may take without asking

// kernel(args...) on grid x block threads; nothing where the grid is empty, which CUDA would refuse.
template <typename... Parameters, typename... Args>
void launch_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, void* stream,
                   const Args&... args) {
  if (grid.x == 0) return;
  if (shared_bytes > kSharedBytes)
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(args...);
}

// The launch's shared_bytes, aligned for every copy there is.
template <typename T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char dynamic_shared_bytes[];
  return reinterpret_cast<T*>(dynamic_shared_bytes);
}

}  // namespace pyslsac

#else
#include <emulated_launch.h>
#endif
