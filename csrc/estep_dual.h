// estep_dual: damped Newton steps on the dual of CVPO's E-step (formulas: pyslsac/ops/estep_dual.py). On CUDA the op is
// its reference, which is a chain of small launches and no more than that.
#pragma once

#include <cstdint>

#include "platform.h"

namespace pyslsac {

struct EstepDual {
  const double* q;                       // [R, 2, B, K]: Q_r and Q_c of K actions a state
  double *eta, *multiplier;              // [R] each: where the steps start, and end
  int64_t runs, states, actions, steps;  // R, B, K
  double eps, budget, maximum;           // of the KL, of the cost, of the multiplier
};

constexpr double kEtaLow = 1e-3, kEtaHigh = 1e3;
constexpr double kStepSizes[] = {1.0, 0.5, 0.25, 0.0625, 0.0};  // of which the one that leads lowest is taken
constexpr double kLargestStep = 1.5;                            // in log eta
constexpr double kDamping = 1e-6;
constexpr double kRounding = 1e-14;  // relative to the tables: differences of the dual below it mean nothing
constexpr double kStill = 1e-12;     // a step shorter than that, in log eta and relative to 1 + multiplier, is the last

namespace cpu {
void estep_dual(const EstepDual& args, int64_t begin, int64_t end);  // runs
}

}  // namespace pyslsac
