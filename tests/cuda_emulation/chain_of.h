// What the tests of the fused chains give a kernel.
#pragma once

#include "../../csrc/langevin_chain.h"

namespace pyslsac {

// sizes: R, B, S, A, K, groups, layers, width, limit, stream, drift_only; kinds, for each group: members, activation,
// reduce, member; numbers: step_size, temperature, drift_scale, grad_cap, low, high and the coefficients, each of
// schedules [K, R].
inline LangevinChain chain_of(const float* obs, const float* start, float* action, float* path, float* values,
                              const float* prior_mean, const float* prior_std, const float* const* weights,
                              const float* const* biases, const float* const* step_bias, const int64_t* sizes,
                              const int64_t* kinds, const float* const* numbers, const int64_t* seed,
                              const int64_t* step) {
  LangevinChain chain{};
  chain.obs = obs, chain.start = start, chain.action = action, chain.path = path, chain.values = values;
  chain.prior_mean = prior_mean, chain.prior_std = prior_std;
  chain.runs = sizes[0], chain.batch = sizes[1], chain.obs_dim = sizes[2], chain.action_dim = sizes[3];
  chain.steps = sizes[4], chain.groups = sizes[5];
  const auto schedule = [&](const float* data) { return PerMove{data, chain.runs, 1, 0}; };
  for (int g = 0; g < chain.groups; ++g) {
    ChainGroup& group = chain.group[g];
    group.layers = sizes[6], group.width = sizes[7];
    for (int l = 0; l < group.layers; ++l)
      group.weight[l] = weights[group.layers * g + l], group.bias[l] = biases[group.layers * g + l];
    group.step_bias = step_bias[g], group.coef = schedule(numbers[6 + g]);
    group.members = kinds[4 * g], group.first = chain.members, chain.members += group.members;
    group.activation = static_cast<Activation>(kinds[4 * g + 1]);
    group.reduce = static_cast<Reduce>(kinds[4 * g + 2]), group.member = {nullptr, 0, kinds[4 * g + 3]};
  }
  chain.step_size = schedule(numbers[0]), chain.temperature = schedule(numbers[1]);
  chain.drift_scale = schedule(numbers[2]);
  chain.limit = static_cast<GradLimit>(sizes[8]), chain.stream = sizes[9], chain.drift_only = sizes[10];
  chain.grad_cap = numbers[3][0], chain.low = numbers[4][0], chain.high = numbers[5][0];
  chain.seed = {seed, 1, 0}, chain.step = {step, 0, 0};
  return chain;
}

}  // namespace pyslsac
