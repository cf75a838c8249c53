// csrc/cluster.cuh for the emulation.
#pragma once

#include "device.h"
#include "emulated_launch.h"

namespace pyslsac {

template <typename... Parameters, typename... Args>
void launch_cluster(void (*kernel)(Parameters...), dim3 grid, dim3 block, unsigned cluster, size_t shared_bytes, void*,
                    const Args&... args) {
  if (grid.x == 0) return;
  const EmulatedCall<Parameters...> call{kernel, {args...}};
  emulation::launch(grid, block, cluster, shared_bytes, &EmulatedCall<Parameters...>::thread, &call);
}

inline int cluster_rank() { return emulation::cluster_rank(); }
inline void cluster_sync(HERE) { emulation::cluster_barrier({file, line}); }
NOINLINE inline void store_remote(float* shared, int rank, float value) {
  emulation::store_remote(shared, rank, value, __builtin_return_address(0));
}

}  // namespace pyslsac
