// tanh_normal: actions tanh(u) and their log densities, u = mean + std noise, std = e^l with l the log std clamped to
// [-20, 2]; and the derivatives of both by the mean and the log std.
#pragma once

#include <cmath>

#include "activation.h"

namespace pyslsac {

template <typename T>
struct TanhNormal {
  const T* params;         // [rows, 2 A]: means, then log stds as they were before the clamp
  const T* noise;          // [rows, A]
  T* action;               // [rows, A]; backward reads it
  T* log_prob;             // [rows]
  const T* action_grad;    // [rows, A], backward's as what follows is
  const T* log_prob_grad;  // [rows]
  T* params_grad;          // [rows, 2 A]
  int64_t rows;
  int64_t actions;  // A
};

constexpr float kLeastLogStd = -20.0f, kMostLogStd = 2.0f;

HOST_DEVICE double within(double x, double low, double high) { return x < low ? low : x > high ? high : x; }
HOST_DEVICE double exp_of(double x) { return exp(x); }
HOST_DEVICE double expm1_of(double x) { return expm1(x); }
HOST_DEVICE double log_of(double x) { return log(x); }

// tanh(u), and its share -noise^2/2 - l - log sqrt(2 pi) - log(1 - tanh^2 u) of the log density. All of |u| comes from
// n = e^(-2|u|) - 1: tanh|u| = -n / (n + 2), log(1 - tanh^2 u) = 2 (log 2 - |u| - log(n + 2)), which does not cancel.
template <typename T>
HOST_DEVICE void squash(T mean, T log_std, T noise, T* action, T* log_prob) {
  const T l = within(log_std, T(kLeastLogStd), T(kMostLogStd)), u = fma_rn(exp_of(l), noise, mean);
  const T size = u < 0 ? -u : u, n = expm1_of(within(-2 * size, T(-80), T(0))), sum = n + 2, tanh_size = -n / sum;
  const T log_slope = 2 * (T(0.693147180559945309417) - size - log_of(sum));
  *action = u < 0 ? -tanh_size : tanh_size;
  *log_prob = fma_rn(T(-0.5) * noise, noise, -l) - T(0.918938533204672741780) - log_slope;
}

// The derivatives by mean and log std, from those by the action and the log density, whose derivative by u is 2
// tanh(u).
template <typename T>
HOST_DEVICE void squash_back(T log_std, T noise, T action, T action_grad, T log_prob_grad, T* mean_grad,
                             T* log_std_grad) {
  const T u_grad = fma_rn(action_grad, fma_rn(-action, action, T(1)), 2 * log_prob_grad * action);
  const bool moves = log_std >= T(kLeastLogStd) && log_std <= T(kMostLogStd);
  const T std_noise = exp_of(within(log_std, T(kLeastLogStd), T(kMostLogStd))) * noise;
  *mean_grad = u_grad;
  *log_std_grad = moves ? fma_rn(u_grad, std_noise, -log_prob_grad) : T(0);
}

namespace cpu {
template <typename T>
void tanh_normal(const TanhNormal<T>& args, int64_t begin, int64_t end);  // rows begin .. end - 1
template <typename T>
void tanh_normal_backward(const TanhNormal<T>& args, int64_t begin, int64_t end);
}  // namespace cpu

namespace cuda {
template <typename T>
void tanh_normal(const TanhNormal<T>& args, void* stream);
template <typename T>
void tanh_normal_backward(const TanhNormal<T>& args, void* stream);
}  // namespace cuda

}  // namespace pyslsac
