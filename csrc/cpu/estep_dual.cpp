#include "../estep_dual.h"

#include "dual_tables.h"

namespace pyslsac {

namespace {

HOST_DEVICE double mean_magnitude(const double* x, int64_t count) {
  double total = 0;
  for (int64_t i = 0; i < count; ++i) total += std::abs(x[i]);
  return total / count;
}

template <typename S>
HOST_DEVICE void solve(DualTables<S>& tables, int64_t run) {
  const EstepDual& a = tables.args;
  const int64_t size = a.states * a.actions;
  const double* reward = a.q + run * 2 * size;
  const double rewards = mean_magnitude(reward, size), costs = mean_magnitude(reward + size, size);
  DualPoint p{std::log(a.eta[run]), a.multiplier[run]};
  tables.fill(run);
  for (int64_t step = 0; step < a.steps; ++step) {
    const Weighted now = tables.reweight(p);
    const DualPoint from = p, to = newton(a, p, now);
    double log_mean[kSizes];
    for (int i = 0; i < kSizes - 1; ++i) log_mean[i] = tables.log_mean(part_way(from, to, i));
    log_mean[kSizes - 1] = now.log_mean;
    p = lowest(a, from, to, log_mean, rewards, costs);
    if (still(from, p)) break;  // the steps after it would move no further
  }
  a.eta[run] = std::exp(p.u), a.multiplier[run] = p.m;
}

#define LEVEL(target, S, T)                                                 \
  target void solve_at(const EstepDual& args, int64_t begin, int64_t end) { \
    DualTables<S> tables(args);                                             \
    for (T run = begin; run < end; ++run) solve(tables, run);               \
  }
SIMD_LEVELS(LEVEL, int64_t)

}  // namespace

namespace cpu {
void estep_dual(const EstepDual& args, int64_t begin, int64_t end) { solve_at(args, begin, end); }
}  // namespace cpu

}  // namespace pyslsac
