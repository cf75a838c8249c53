// How a backend runs a checked chain: the moves one after another, each a drift and a langevin_step.
#pragma once

#include <algorithm>
#include <tuple>
#include <vector>

#include "../langevin_chain_launch.h"
#include "../reduce.h"
#include "launch.h"
#ifdef PYSLSAC_CUDA
#include "langevin_chain_fused.h"
#include "langevin_chain_unfused.h"
#else
#include "langevin_chain_blocks.h"
#endif

namespace pyslsac {

using torch::stable::Tensor;

// What langevin_step is to do at each move.
class Mover {
 public:
  Mover(const LangevinChain& chain, const Tensor& like, const float* drift) : chain_(chain), like_(like) {
    step_.action = chain.action, step_.grad = drift;
    step_.runs = chain.runs, step_.batch = chain.batch, step_.dim = chain.action_dim;
    step_.limit = chain.limit, step_.grad_cap = chain.grad_cap, step_.low = chain.low, step_.high = chain.high;
    step_.seed = chain.seed, step_.step = chain.step, step_.stream = chain.stream;
    if (chain.limit != GradLimit::cap_run) return;
    chunks_ = chain.runs * reduce_chunks(chain.batch * chain.action_dim);
    sums_ = torch::stable::new_empty(like, {chunks_}, torch::headeronly::ScalarType::Double);
    step_.chunk_sums = static_cast<double*>(sums_.mutable_data_ptr());
  }
  void move(int64_t k) {
    step_.step_size = at(chain_.step_size, k), step_.temperature = at(chain_.temperature, k);
    step_.drift_scale = at(chain_.drift_scale, k), step_.move = k;
    if (chunks_) launch(backend::sum_grad_squares<float>, step_, like_, chunks_, 4);
    launch(backend::langevin_step<float>, step_, like_, chain_.runs * chain_.batch,
           std::max<int64_t>(1, 8192 / chain_.action_dim));
  }

 private:
  static PerRun<float> at(const PerMove& value, int64_t k) {
    return {value.data ? value.data + k * value.move_stride : nullptr, value.run_stride, value.value};
  }
  const LangevinChain& chain_;
  const Tensor& like_;
  LangevinStep<float> step_{};
  int64_t chunks_ = 0;
  Tensor sums_;
};

template <typename Hidden>
void climb(const LangevinChain& chain, std::tuple<Tensor, Tensor, Tensor>& results, const Tensor& obs,
           const std::vector<Tensor>& weights) {
  auto& [action, path, values] = results;
  Tensor drift = torch::stable::empty_like(action);
  float* const to = static_cast<float*>(drift.mutable_data_ptr());
  Climber<Hidden> climber(chain, obs, weights, to);
  Mover mover(chain, obs, to);
  for (int64_t k = 0; k < chain.steps && action.numel(); ++k) {
    climber.drift(k);
    if (chain.drift_only) break;
    mover.move(k);
    if (!chain.path) continue;
    Tensor after = torch::stable::select(path, 1, k);
    torch::stable::copy_(after, action);
  }
  if (chain.values) climber.values();
  if (chain.drift_only) torch::stable::copy_(action, drift);
}

// Here a shape chooses its kernels: on CUDA the unfused passes take what the fused kernels leave.
inline void run_chain(const LangevinChain& chain, std::tuple<Tensor, Tensor, Tensor>& results, const Tensor& obs,
                      const std::vector<Tensor>& weights, bool bf16) {
#ifdef PYSLSAC_CUDA
  if (bf16 && run_fused(chain, obs)) return;
#endif
  (bf16 ? climb<Bfloat16> : climb<float>)(chain, results, obs, weights);
}

}  // namespace pyslsac
