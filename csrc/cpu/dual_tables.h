// Q_r and Q_c of one run on the CPU, states side by side in the lanes, and what weights of its actions do.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "../estep_dual.h"
#include "exp.h"

namespace pyslsac {

// One run's tables, the states of a vector side by side; the last vector repeats a state.
template <typename S>
struct DualTables {
  using V = typename VectorOf<double, S::kBytes>::type;
  static constexpr int kLanes = S::kBytes / sizeof(double);
  const EstepDual& args;
  const int64_t blocks;
  std::vector<double> tables, weights;  // [blocks, 2, K, kLanes], [K, kLanes]

  HOST_DEVICE explicit DualTables(const EstepDual& a)
      : args(a),
        blocks((a.states + kLanes - 1) / kLanes),
        tables(blocks * 2 * a.actions * kLanes),
        weights(a.actions * kLanes) {}

  HOST_DEVICE void fill(int64_t run) {
    double* to = tables.data();
    for (int64_t i = 0; i < blocks; ++i)
      for (int64_t of = 0; of < 2; ++of)
        for (int64_t k = 0; k < args.actions; ++k)
          for (int64_t s = i * kLanes; s < (i + 1) * kLanes; ++s)
            *to++ = args.q[((run * 2 + of) * args.states + std::min(s, args.states - 1)) * args.actions + k];
  }

  HOST_DEVICE int64_t lanes(int64_t i) const { return std::min<int64_t>(kLanes, args.states - i * kLanes); }
  HOST_DEVICE V reward(int64_t i, int64_t k) const {
    return load<V>(tables.data() + (i * 2 * args.actions + k) * kLanes);
  }
  HOST_DEVICE V cost(int64_t i, int64_t k) const { return reward(i, args.actions + k); }
  HOST_DEVICE V z(int64_t i, int64_t k, const DualPoint& at) const { return reward(i, k) - at.m * cost(i, k); }

  HOST_DEVICE V largest(int64_t i, const DualPoint& at) const {
    V most = V{} - HUGE_VAL;
    for (int64_t k = 0; k < args.actions; ++k) {
      const V next = z(i, k, at);
      most = next <= most ? most : next;  // a NaN is the largest
    }
    return most;
  }

  // The mean over states of log mean_K e^(z / eta).
  HOST_DEVICE double log_mean(const DualPoint& at) const {
    const double rate = 1 / std::exp(at.u);
    double total = 0;
    for (int64_t i = 0; i < blocks; ++i) {
      const V most = largest(i, at);
      V sum{};
      for (int64_t k = 0; k < args.actions; ++k) sum += exp_of((z(i, k, at) - most) * rate);
      for (int64_t s = 0; s < lanes(i); ++s) total += most[s] * rate + std::log(sum[s]);
    }
    return total / args.states - std::log(args.actions);
  }

  HOST_DEVICE Weighted reweight(const DualPoint& at) {
    const double rate = 1 / std::exp(at.u), log_actions = std::log(args.actions), n = static_cast<double>(args.states);
    double* const w = weights.data();
    Weighted total{};
    for (int64_t i = 0; i < blocks; ++i) {
      const V most = largest(i, at);
      V sum{}, below{}, price{}, rr{}, rc{}, cc{};
      for (int64_t k = 0; k < args.actions; ++k) {
        const V off = z(i, k, at) - most, e = exp_of(off * rate);
        store(w + k * kLanes, e);
        sum += e, below += e * off, price += e * cost(i, k);
      }
      below /= sum, price /= sum;  // E_w[z] - max z, E_w[Q_c]
      for (int64_t k = 0; k < args.actions; ++k) {
        const V r = z(i, k, at) - most - below, c = cost(i, k) - price, e = load<V>(w + k * kLanes);
        rr += e * r * r, rc += e * r * c, cc += e * c * c;
      }
      for (int64_t s = 0; s < lanes(i); ++s) {
        const double log_sum = std::log(sum[s]);
        total.log_mean += most[s] * rate + log_sum, total.kl += below[s] * rate - log_sum, total.cost += price[s];
        total.cov_reward += rr[s] / sum[s], total.cov_both += rc[s] / sum[s], total.cov_cost += cc[s] / sum[s];
      }
    }
    return {total.log_mean / n - log_actions,
            total.kl / n + log_actions,
            total.cost / n,
            total.cov_reward / n,
            total.cov_both / n,
            total.cov_cost / n};
  }
};

}  // namespace pyslsac
