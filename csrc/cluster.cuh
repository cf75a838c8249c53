// Thin wrappers over thread block clusters (sm_90): the blocks of a cluster run together and write into one another's
// shared memory. A plain C++ compiler takes them from the emulation in tests/cuda_emulation/.
#pragma once

#include <cstdint>

#include "launch.cuh"

#ifdef __CUDACC__

namespace pyslsac {

// launch_kernel with `cluster` blocks in a row to a cluster.
template <typename... Parameters, typename... Args>
void launch_cluster(void (*kernel)(Parameters...), dim3 grid, dim3 block, unsigned cluster, size_t shared_bytes,
                    void* stream, const Args&... args) {
  if (grid.x == 0) return;
  if (shared_bytes > kSharedBytes)
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = cluster, attribute.val.clusterDim.y = 1, attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &attribute, config.numAttrs = 1;
  cudaLaunchKernelEx(&config, kernel, args...);
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

// The number of this block in its cluster.
__device__ __forceinline__ int cluster_rank() {
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}

// A barrier of all threads of the cluster; what they wrote before it, also into one another's memory, is there after
// it.
__device__ __forceinline__ void cluster_sync() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// *shared = value in block `rank` of the cluster, at the place that `shared` has here.
__device__ __forceinline__ void store_remote(float* shared, int rank, float value) {
  uint32_t there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(there)
      : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))), "r"(rank));
  asm volatile("st.shared::cluster.f32 [%0], %1;" : : "r"(there), "f"(value) : "memory");
}

#else  // what is built for older devices is never launched there

__device__ __forceinline__ int cluster_rank() { return 0; }
__device__ __forceinline__ void cluster_sync() { __trap(); }
__device__ __forceinline__ void store_remote(float*, int, float) {}

#endif

}  // namespace pyslsac

#else
#include <emulated_cluster.h>
#endif
