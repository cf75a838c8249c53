#include "../estep_dual.h"

#include <algorithm>
#include <cmath>

#include "dual_tables.h"

namespace pyslsac {

namespace {

// A NaN stays one.
HOST_DEVICE double clamp(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

HOST_DEVICE double between(double from, double to, double at) {  // torch.lerp
  return at < 0.5 ? from + at * (to - from) : to - (to - from) * (1 - at);
}

HOST_DEVICE double mean_magnitude(const double* x, int64_t count) {
  double total = 0;
  for (int64_t i = 0; i < count; ++i) total += std::abs(x[i]);
  return total / count;
}

template <typename S>
HOST_DEVICE void solve(DualTables<S>& tables, int64_t run) {
  const EstepDual& a = tables.args;
  const int64_t size = a.states * a.actions;
  const double *reward = a.q + run * 2 * size, low = std::log(kEtaLow), high = std::log(kEtaHigh);
  const double scale_reward = kRounding * mean_magnitude(reward, size);
  const double scale_cost = kRounding * mean_magnitude(reward + size, size);
  double u = std::log(a.eta[run]), m = a.multiplier[run];
  tables.fill(run);
  for (int64_t step = 0; step < a.steps; ++step) {
    const double eta = std::exp(u);
    const Weighted now = tables.reweight({eta, m});
    const double g_u = eta * (a.eps - now.kl), g_m = a.budget - now.cost;
    const double h_uu = now.cov_reward / eta + (std::abs(g_u) + kDamping), h_um = now.cov_both / eta;
    const double h_mm = now.cov_cost / eta + kDamping;
    double m_to = clamp(m + (h_um * g_u - h_uu * g_m) / (h_uu * h_mm - h_um * h_um), 0, a.maximum);
    const double u_step = (g_u + h_um * (m_to - m)) / -h_uu;
    const double u_to = clamp(u + clamp(u_step, -kLargestStep, kLargestStep), low, high);
    m_to = clamp(m - (g_m + h_um * (u_to - u)) / h_mm, 0, a.maximum);
    constexpr int kSizes = std::size(kStepSizes);
    double us[kSizes], ms[kSizes], values[kSizes], least = HUGE_VAL;
    for (int i = 0; i < kSizes; ++i) {
      us[i] = between(u, u_to, kStepSizes[i]), ms[i] = between(m, m_to, kStepSizes[i]);
      const Point at{std::exp(us[i]), ms[i]};
      const double mean = kStepSizes[i] == 0 ? now.log_mean : tables.log_mean(at);
      values[i] = at.eta * (mean + a.eps) + at.multiplier * a.budget;
      least = values[i] >= least ? least : values[i];  // a NaN is the least
    }
    int best = 0;  // the first of those that only rounding tells apart
    for (int i = kSizes - 1; i >= 0; --i)
      if (values[i] <= least + scale_reward + m * scale_cost) best = i;
    const bool still = std::abs(us[best] - u) <= kStill && std::abs(ms[best] - m) <= kStill * (1 + m);
    u = us[best], m = ms[best];
    if (still) break;  // the steps after it would move no further
  }
  a.eta[run] = std::exp(u), a.multiplier[run] = m;
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
