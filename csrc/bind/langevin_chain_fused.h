// The fused kernels of langevin_chain, for devices and shapes that have them.
#pragma once

#include "../langevin_chain_fused.h"
#include "launch.h"

namespace pyslsac {

constexpr int64_t kLargeBatch = 1024;  // from which whole warp groups pay

inline int compute_capability(const torch::stable::Tensor& like) {
  int major = 0, minor = 0, device = like.get_device_index();
  STD_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  STD_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  return 10 * major + minor;
}

// Runs the chain in one launch, or returns false.
inline bool run_fused(const LangevinChain& chain, const torch::stable::Tensor& like) {
  const int device = compute_capability(like);
  if (device == 90 && chain.batch >= kLargeBatch && cuda::ChainLarge::fits(chain)) {
    launch(cuda::langevin_chain_large, cuda::ChainLarge{chain}, like, 1, 1);
    return true;
  }
  if (device < 90 || !cuda::ChainSmall::fits(chain)) return false;
  const int64_t width = chain.group[0].width, third = chain.group[0].layers == 4 ? width * width : 0;
  torch::stable::Tensor scratch =
      torch::stable::new_empty(like, {chain.runs * chain.members * third}, torch::headeronly::ScalarType::BFloat16);
  auto* data = static_cast<Bfloat16*>(scratch.mutable_data_ptr());
  launch(cuda::langevin_chain_small, cuda::ChainSmall{chain, data}, like, 1, 1);
  return true;
}

}  // namespace pyslsac
