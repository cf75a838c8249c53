// langevin_chain: K moves of langevin_step up the action gradient of groups of Q-perceptrons.
#pragma once

#include "activation.h"
#include "bfloat16.h"
#include "langevin_step.h"

namespace pyslsac {

enum class Reduce { mean, sum, min, max, pair_min_mean, member };  // members 2i and 2i + 1 are a pair

constexpr int kChainGroups = 8;  // of a call, at most
constexpr int kChainLayers = 4;  // of a group, at most, the output layer included

// One value for every move and run, or [K, R] with a stride of 0 along an axis on which it does not change: read where
// the kernel runs, or held by value when data is null.
struct PerMove {
  const float* data;
  int64_t move_stride, run_stride;
  float value;
  HOST_DEVICE float operator()(int64_t move, int64_t run) const {
    return data ? data[move * move_stride + run * run_stride] : value;
  }
};

struct ChainGroup {
  const float* weight[kChainLayers];  // [R, E, in, out]; layer 1's rows are observation, then action; the last out is 1
  const float* bias[kChainLayers];    // [R, E, out]
  const float* step_bias;             // [R, K, E, W], added to layer 1 at each move, or null
  PerMove coef;
  PerRun<int64_t> member;  // for Reduce::member
  int64_t members, width;  // E, W
  int64_t first;           // number of its first member among those of all groups
  int layers;              // with the output layer: 3 or 4
  Activation activation;
  Reduce reduce;
};

struct LangevinChain {
  ChainGroup group[kChainGroups];
  const float *obs, *start;             // [R, B, S], [R, B, A]
  const float *prior_mean, *prior_std;  // [R, B, A] or null
  float* action;                        // [R, B, A], what comes back: the last action, or the drift at the start
  float* path;                          // [R, K, B, A], the actions after each move, or null
  float* values;                        // [R, M, B], Q(s, last action) of the M members of all groups, or null
  int64_t runs, batch, obs_dim, action_dim, steps, members;  // R, B, S, A, K, M
  int groups;
  PerMove step_size, temperature, drift_scale;
  GradLimit limit;
  float grad_cap, low, high;
  PerRun<int64_t> seed, step;
  uint32_t stream;
  bool drift_only;  // one drift, before limits and scale, and no move
};

// Is q the choice of a minimum (or maximum) over those before it, of which the best is `best`? The first of equals
// stays, and NaN goes before everything.
HOST_DEVICE bool beats(bool least, float q, float best) { return best == best && !(least ? q >= best : q <= best); }

// d reduce(Q) / dQ of member e; q[i] is member i's value.
template <typename Q>
HOST_DEVICE float reduce_weight(Reduce reduce, const Q& q, int64_t members, int64_t e, int64_t member) {
  if (reduce == Reduce::sum) return 1.0f;
  if (reduce == Reduce::mean) return 1.0f / static_cast<float>(members);
  if (reduce == Reduce::member) return e == member ? 1.0f : 0.0f;
  const bool pairs = reduce == Reduce::pair_min_mean, least = reduce != Reduce::max;
  const int64_t begin = pairs ? e - e % 2 : 0, end = pairs ? begin + 2 : members;
  int64_t best = begin;
  for (int64_t i = begin + 1; i < end; ++i)
    if (beats(least, q[i], q[best])) best = i;
  return e != best ? 0.0f : pairs ? 2.0f / static_cast<float>(members) : 1.0f;
}

}  // namespace pyslsac
