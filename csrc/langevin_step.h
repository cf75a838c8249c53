// langevin_step: action <- clip(action + eps/2 drift + sqrt(eps T) xi, low, high), drift = drift_scale factor grad.
#pragma once

#include <cstdint>

#include "philox.h"

namespace pyslsac {

enum class GradLimit { none, normalize, cap_sample, cap_run };

template <typename T>
struct LangevinStep {
  T* action;                 // [R, B, A], in place
  const T* grad;             // [R, B, A]
  double* chunk_sums;        // [R, chunks of B A], for cap_run
  int64_t runs, batch, dim;  // R, B, A
  PerRun<T> step_size, temperature, drift_scale;
  GradLimit limit;
  T grad_cap, low, high;
  PerRun<int64_t> seed, step;
  int64_t move;  // added to step: which move of a chain this is
  uint32_t stream;
};

// What a gradient with this sum of squares is multiplied by.
template <typename T>
HOST_DEVICE T limit_factor(GradLimit limit, T grad_cap, T sum_squares) {
  if (limit == GradLimit::none) return T{1};
  const T norm = sqrt_rn(sum_squares);
  if (limit == GradLimit::normalize) return T{1} / (norm + T{1e-8});
  const T factor = grad_cap / (norm + T{1e-6});
  return factor < T{1} ? factor : T{1};
}

// |grad|^2 of one sample, added in index order.
template <typename T>
HOST_DEVICE T sample_sum_squares(const T* grad, int64_t dim) {
  T sum = 0;
  for (int64_t i = 0; i < dim; ++i) sum = fma_rn(grad[i], grad[i], sum);
  return sum;
}

// One coordinate's move: push = eps/2 drift_scale factor, noise = sqrt(eps T). NaN stays NaN.
template <typename T>
HOST_DEVICE T langevin_move(T action, T grad, T xi, T push, T noise, T low, T high) {
  const T moved = fma_rn(push, grad, fma_rn(noise, xi, action));
  return moved < low ? low : moved > high ? high : moved;
}

namespace cpu {
template <typename T>
void sum_grad_squares(const LangevinStep<T>& args, int64_t begin, int64_t end);  // chunks begin .. end - 1 of all runs
template <typename T>
void langevin_step(const LangevinStep<T>& args, int64_t begin, int64_t end);  // samples begin .. end - 1 of R B
}  // namespace cpu

namespace cuda {
template <typename T>
void sum_grad_squares(const LangevinStep<T>& args, void* stream);
template <typename T>
void langevin_step(const LangevinStep<T>& args, void* stream);
}  // namespace cuda

}  // namespace pyslsac
