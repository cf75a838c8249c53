// Torch's matrix products, between tensors or memory.
#pragma once

#include <array>

#include "launch.h"

namespace pyslsac {

// out = left right, for every matrix of a batch.
inline void bmm_out(const torch::stable::Tensor& left, const torch::stable::Tensor& right,
                    const torch::stable::Tensor& out) {
  std::array<StableIValue, 3> stack{torch::stable::detail::from(left), torch::stable::detail::from(right),
                                    torch::stable::detail::from(out)};
  STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::bmm", "out", stack.data(), TORCH_ABI_VERSION));
  torch::stable::detail::to<torch::stable::Tensor>(stack[0]);  // frees the handle
}

// Memory as matrices [batch, rows, columns] of the dtype and on the device of `like`; they own nothing.
inline torch::stable::Tensor matrices(const torch::stable::Tensor& like, const float* data,
                                      torch::headeronly::IntHeaderOnlyArrayRef sizes,
                                      torch::headeronly::IntHeaderOnlyArrayRef strides) {
  return torch::stable::from_blob(const_cast<float*>(data), sizes, strides, like.device(), like.scalar_type());
}

}  // namespace pyslsac
