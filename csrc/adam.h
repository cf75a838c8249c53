// adam_: gradients clipped by each run's norm, then a step of Adam (formulas: pyslsac/ops/adam.py).
#pragma once

#include <cmath>

#include "tensor_list.h"

namespace pyslsac {

// One parameter [R, P] of float or, in `wide` lists, double.
struct AdamTensor {
  void *param, *grad, *exp_avg, *exp_avg_sq;
  float* step;                // how many have been made
  int64_t size, first_chunk;  // P; the number of its first chunk, which run follows run
};

struct Adam {
  const AdamTensor* tensors;
  int64_t count, chunks, runs;
  double lr, beta1, beta2, eps, weight_decay, grad_norm;  // grad_norm: infinite for none
  bool maximize, decoupled, wide;                         // decoupled: weights decay beside the step (AdamW)
  double *sums, *factors;  // [chunks] of squares; [R] that bring the runs' norms to grad_norm; null for none

  HOST_DEVICE int64_t groups() const { return runs; }
  HOST_DEVICE bool norms() const { return factors; }
  HOST_DEVICE double factor(double squares) const { return clip_factor(grad_norm, squares); }
  HOST_DEVICE TensorChunk<AdamTensor> locate(int64_t chunk) const { return locate_chunk(tensors, count, chunk); }
};

template <typename T>
struct Widened {
  const T* x;
  HOST_DEVICE double operator[](int64_t i) const { return x[i]; }
};

// The numbers of step t in the type T that it is computed in, and what becomes of one element.
template <typename T>
struct AdamElement {
  T factor, sign, decay, fade, rest1, beta2, rest2, eps, size, wider;

  HOST_DEVICE static AdamElement of(const Adam& a, double t, double factor) {
    return {static_cast<T>(factor),
            static_cast<T>(a.maximize ? -1 : 1),
            static_cast<T>(a.decoupled ? 0.0 : a.weight_decay),
            static_cast<T>(a.decoupled ? a.lr * a.weight_decay : 0.0),
            static_cast<T>(1 - a.beta1),
            static_cast<T>(a.beta2),
            static_cast<T>(1 - a.beta2),
            static_cast<T>(a.eps),
            static_cast<T>(a.lr / (1 - std::pow(a.beta1, t))),
            static_cast<T>(1 / sqrt_rn(1 - std::pow(a.beta2, t)))};
  }
  HOST_DEVICE void move(T& param, T grad, T& m, T& v) const {  // grad times factor already
    const T g = sign * grad + decay * param;
    m += rest1 * (g - m);
    v = beta2 * v + rest2 * g * g;
    param -= fade * param + size * m / (sqrt_rn(v) * wider + eps);  // 1 - fade itself would be rounded
  }
};

// Of 1 + chunks units the first counts the steps, the others sum a chunk each; without norms there is the first alone.
// Then runs, then chunks.
namespace cpu {
void adam_sums(const Adam& args, int64_t begin, int64_t end);
void adam_factors(const Adam& args, int64_t begin, int64_t end);
void adam_step(const Adam& args, int64_t begin, int64_t end);
}  // namespace cpu

namespace cuda {
void adam_sums(const Adam& args, void* stream);
void adam_factors(const Adam& args, void* stream);
void adam_step(const Adam& args, void* stream);
}  // namespace cuda

}  // namespace pyslsac
