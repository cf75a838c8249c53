// estep_dual: damped Newton steps on the dual of CVPO's E-step (formulas: pyslsac/ops/estep_dual.py).
#pragma once

#include <cmath>

#include "platform.h"

namespace pyslsac {

struct EstepDual {
  const double* q;                       // [R, 2, B, K]: Q_r and Q_c of K actions a state
  double *eta, *multiplier;              // [R] each: where the steps start, and end
  int64_t runs, states, actions, steps;  // R, B, K
  double eps, budget, maximum;           // of the KL, of the cost, of the multiplier
  double* scratch;                       // on CUDA, R estep_dual_scratch(args)
};

constexpr double kEtaLow = 1e-3, kEtaHigh = 1e3;
constexpr double kLargestStep = 1.5;  // in log eta
constexpr int kSizes = 5;             // of a step, of which the one that leads lowest is taken
constexpr double kDamping = 1e-6;
constexpr double kRounding = 1e-14;  // relative to the tables: differences of the dual below it mean nothing
constexpr double kStill = 1e-12;     // a step shorter than that, in log eta and relative to 1 + multiplier, is the last

struct Weighted {                         // means over the states
  double log_mean, kl, cost;              // of e^(z / eta), all actions alike; KL(w || 1/K); E_w[Q_c]
  double cov_reward, cov_both, cov_cost;  // under w, of z and Q_c
};

struct DualPoint {
  double u, m;  // log eta, multiplier
};

HOST_DEVICE double clamp(double x, double low, double high) {  // a NaN stays one
  return x < low ? low : x > high ? high : x;
}

HOST_DEVICE double between(double from, double to, double at) {  // torch.lerp
  return at < 0.5 ? from + at * (to - from) : to - (to - from) * (1 - at);
}

// Where a step of full size leads.
HOST_DEVICE DualPoint newton(const EstepDual& a, const DualPoint& p, const Weighted& now) {
  const double eta = std::exp(p.u), low = std::log(kEtaLow), high = std::log(kEtaHigh);
  const double g_u = eta * (a.eps - now.kl), g_m = a.budget - now.cost;
  const double h_uu = now.cov_reward / eta + (std::abs(g_u) + kDamping), h_um = now.cov_both / eta;
  const double h_mm = now.cov_cost / eta + kDamping;
  const double m = clamp(p.m + (h_um * g_u - h_uu * g_m) / (h_uu * h_mm - h_um * h_um), 0, a.maximum);
  const double u_step = (g_u + h_um * (m - p.m)) / -h_uu;
  const double u = clamp(p.u + clamp(u_step, -kLargestStep, kLargestStep), low, high);
  return {u, clamp(p.m - (g_m + h_um * (u - p.u)) / h_mm, 0, a.maximum)};
}

HOST_DEVICE DualPoint part_way(const DualPoint& from, const DualPoint& to, int size) {
  constexpr double kParts[kSizes] = {1.0, 0.5, 0.25, 0.0625, 0.0};
  return {between(from.u, to.u, kParts[size]), between(from.m, to.m, kParts[size])};
}

// The longest of the steps that only rounding tells from the one that leads lowest; log_mean and magnitudes are means.
HOST_DEVICE DualPoint lowest(const EstepDual& a, const DualPoint& from, const DualPoint& to,
                             const double (&log_mean)[kSizes], double reward_magnitude, double cost_magnitude) {
  double value[kSizes], least = HUGE_VAL;
  UNROLL for (int i = 0; i < kSizes; ++i) {
    const DualPoint p = part_way(from, to, i);
    value[i] = std::exp(p.u) * (log_mean[i] + a.eps) + p.m * a.budget;
    least = value[i] >= least ? least : value[i];  // a NaN is the least
  }
  const double slack = kRounding * (reward_magnitude + from.m * cost_magnitude);
  DualPoint best = part_way(from, to, 0);
  for (int i = kSizes - 1; i >= 0; --i)
    if (value[i] <= least + slack) best = part_way(from, to, i);
  return best;
}

HOST_DEVICE bool still(const DualPoint& from, const DualPoint& to) {
  return std::abs(to.u - from.u) <= kStill && std::abs(to.m - from.m) <= kStill * (1 + from.m);
}

namespace cpu {
void estep_dual(const EstepDual& args, int64_t begin, int64_t end);  // runs
HOST_DEVICE int64_t estep_dual_scratch(const EstepDual&) { return 0; }
}  // namespace cpu

namespace cuda {
void estep_dual(const EstepDual& args, void* stream);
int64_t estep_dual_scratch(const EstepDual& args);
}  // namespace cuda

}  // namespace pyslsac
