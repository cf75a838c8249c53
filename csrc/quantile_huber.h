// quantile_huber: for every row the loss sum_i mean_j |tau_i - 1{u < 0}| huber(u) / kappa with u = target_j - pred_i,
// and its derivative by pred_i, -mean_j |tau_i - 1{u < 0}| huber'(u) / kappa, in one pass over the pairs.
#pragma once

#include <cstdint>

#include "bfloat16.h"

namespace pyslsac {

template <typename T>
struct QuantileHuber {
  const T* pred;    // [rows, N]
  const T* target;  // [rows, M]
  const T* tau;     // [rows, N]
  Wide<T>* loss;    // [rows]
  T* grad;          // [rows, N]
  int64_t rows;
  int64_t preds;    // N
  int64_t targets;  // M
  Wide<T> kappa;
};

// One pair's share: loss += weight huber(u), slopes += weight huber'(u). The slope huber'(u) is u clamped to
// [-kappa, kappa], huber(u) = slope (u - slope / 2), the weight is `above` = |tau|, or `below` = |tau - 1| where u < 0.
// A NaN stays a NaN.
template <typename Real>
HOST_DEVICE void add_pair(Real pred, Real target, Real above, Real below, Real kappa, Real* loss, Real* slopes) {
  const Real u = target - pred;
  const Real capped = kappa < u ? kappa : u;
  const Real slope = capped < -kappa ? -kappa : capped;
  const Real weighted = (u < 0 ? below : above) * slope;
  *loss = fma_rn(weighted, fma_rn(Real(-0.5), slope, u), *loss);
  *slopes += weighted;
}

namespace cpu {
template <typename T>
void quantile_huber(const QuantileHuber<T>& args, int64_t begin, int64_t end);  // rows begin .. end - 1
}  // namespace cpu

namespace cuda {
template <typename T>
void quantile_huber(const QuantileHuber<T>& args, void* stream);
}  // namespace cuda

}  // namespace pyslsac
