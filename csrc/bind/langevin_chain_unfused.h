// The drift of a chain on CUDA for any shape: torch's matrix products with elementwise passes between them. All memory
// is taken once, and nothing waits for the device, so that a graph can capture it.
#pragma once

#include <array>
#include <vector>

#include "../langevin_chain_launch.h"
#include "products.h"

namespace pyslsac {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <typename Hidden>
class Climber {
 public:
  // weights: those of all groups, layer by layer.
  Climber(const LangevinChain& chain, const Tensor& obs, const std::vector<Tensor>& weights, float* drift)
      : like_(obs), stages_(chain.groups) {
    constexpr ScalarType type = std::is_same_v<Hidden, float> ? ScalarType::Float : ScalarType::BFloat16;
    args_.chain = chain, args_.drift = drift;
    Tensor beside = torch::stable::unsqueeze(obs, 1);  // [R, 1, B, S]
    for (int g = 0, at = 0; g < chain.groups; ++g) {
      const ChainGroup& group = chain.group[g];
      Stage& stage = stages_[g];
      const int64_t members = chain.runs * group.members, rows = chain.batch, width = group.width;
      Tensor first = weights[at];
      stage.base = torch::stable::matmul(beside, torch::stable::narrow(first, 2, 0, chain.obs_dim));
      Tensor flat = torch::stable::reshape(first, {members, chain.obs_dim + chain.action_dim, width});
      stage.action = torch::stable::transpose(torch::stable::narrow(flat, 1, chain.obs_dim, chain.action_dim), 1,
                                              2);  // [R E, W, A]
      const int hidden = group.layers - 1;
      for (int l = 1; l < hidden; ++l) {
        stage.weight.push_back(
            torch::stable::reshape(torch::stable::to(weights[at + l], type), {members, width, width}));
        stage.back.push_back(torch::stable::transpose(stage.weight.back(), 1, 2));
      }
      stage.out = torch::stable::reshape(weights[at + hidden], {members, width, 1});
      for (Tensor& buffer : stage.buffer) buffer = torch::stable::new_empty(obs, {members, rows, width}, type);
      stage.slope = torch::stable::new_empty(obs, {hidden - 1, members, rows, width}, type);
      stage.wide = torch::stable::new_empty(obs, {members, rows, width});
      stage.q = torch::stable::new_empty(obs, {members, rows, 1});
      stage.gradient = torch::stable::new_empty(obs, {members, rows, chain.action_dim});
      args_.q[g] = static_cast<const float*>(stage.q.const_data_ptr());
      args_.gradient[g] = static_cast<const float*>(stage.gradient.const_data_ptr());
      at += group.layers;
    }
  }

  void drift(int64_t k) {
    for (int g = 0; g < args_.chain.groups; ++g) {
      Stage& stage = stages_[g];
      int from = forward(g, k);
      for (int l = args_.chain.group[g].layers - 2; l > 0; --l, from = 1 - from) {
        bmm_out(stage.buffer[from], stage.back[l - 1], stage.buffer[1 - from]);
        if (l > 1) pass(backend::chain_return<Hidden>, g, l - 1, 1 - from, 1 - from);
      }
      pass(backend::chain_leave<Hidden>, g, 0, from, from);
      bmm_out(stage.wide, stage.action, stage.gradient);
    }
    launch(backend::chain_combine<Hidden>, args_, like_, 1, 1);
  }

  void values() {
    for (int g = 0; g < args_.chain.groups; ++g) {
      forward(g, args_.chain.steps - 1);
      args_.group = g;
      launch(backend::chain_values<Hidden>, args_, like_, 1, 1);
    }
  }

 private:
  struct Stage {
    Tensor base, action, out, slope, wide, q, gradient;
    std::vector<Tensor> weight, back;
    std::array<Tensor, 2> buffer;
  };

  // Values of a group; in the buffer whose number comes back stands dQ by the sums of the last hidden layer.
  int forward(int g, int64_t k) {
    Stage& stage = stages_[g];
    const int hidden = args_.chain.group[g].layers - 1;
    args_.move = k;
    pass(backend::chain_enter<Hidden>, g, 0, 0, 0);
    int from = 0;
    for (int l = 1; l < hidden; ++l, from = 1 - from) {
      bmm_out(stage.buffer[from], stage.weight[l - 1], stage.buffer[1 - from]);
      pass(l + 1 < hidden ? backend::chain_activate<Hidden> : backend::chain_turn<Hidden>, g, l, 1 - from, 1 - from);
    }
    bmm_out(stage.wide, stage.out, stage.q);
    return from;
  }

  void pass(void (*kernel)(const cuda::ChainPass<Hidden>&, void*), int g, int layer, int in, int out) {
    Stage& stage = stages_[g];
    const ChainGroup& group = args_.chain.group[g];
    args_.group = g, args_.layer = layer;
    args_.base = static_cast<const float*>(stage.base.const_data_ptr());
    args_.in = static_cast<const Hidden*>(stage.buffer[in].const_data_ptr());
    args_.out = static_cast<Hidden*>(stage.buffer[out].mutable_data_ptr());
    const int64_t layers = args_.chain.runs * group.members * args_.chain.batch * group.width;
    args_.slope = static_cast<Hidden*>(stage.slope.mutable_data_ptr()) + layer * layers;
    args_.wide = static_cast<float*>(stage.wide.mutable_data_ptr());
    launch(kernel, args_, like_, 1, 1);
  }

  const Tensor& like_;
  cuda::ChainPass<Hidden> args_{};
  std::vector<Stage> stages_;
};

}  // namespace pyslsac
