// asgld_: one adaptive Langevin step on every tensor of a list (formulas: pyslsac/ops/asgld.py).
#pragma once

#include <cmath>

#include "bfloat16.h"
#include "philox.h"
#include "tensor_list.h"

namespace pyslsac {

enum class Variant { asgld, preconditioned, psgld, sgld, biasless };  // the last: asgld whose bias is 0
enum class Clip { grad_norm, drift_value, drift_norm, none };
enum class Storage { float32, float64, bfloat16 };

// One parameter [N, P]: P elements of each of N networks. Null where there is no such tensor.
struct AsgldTensor {
  void* param;
  const void* grad;
  void *exp_avg, *exp_avg_sq, *residual, *target;
  const int64_t* step;
  int64_t size, offset, first_chunk;  // P; number of a run's first element; its chunks in the list, network by network
  uint32_t stream;
  Storage storage;
};

// A chunk: count elements of one network from `first` of the tensor on, which is element `number` of its run.
struct AsgldChunk {
  const AsgldTensor* tensor;
  int64_t network, run, first, number, count;
};

struct Asgld {
  const AsgldTensor* tensors;
  int64_t count, chunks, networks, runs;  // of the list; run r owns networks r N / R ..
  PerRun<int64_t> seed;                   // [R]
  PerRun<double> lr, temperature;         // one
  const float *grad_scale, *found_inf;    // one, or null
  double bias, beta1, beta2, eps, weight_decay, clip_threshold, polyak;
  Variant variant;
  Clip clip;
  bool maximize, noise;
  double *sums, *factors;  // [chunks] of squares; [N] that bring the networks' norms to the threshold

  HOST_DEVICE bool skipped() const { return found_inf && *found_inf != 0.0f; }
  HOST_DEVICE bool norms() const { return clip == Clip::grad_norm || clip == Clip::drift_norm; }
  HOST_DEVICE int64_t groups() const { return networks; }
  HOST_DEVICE double factor(double squares) const { return clip_factor(clip_threshold, squares); }
  HOST_DEVICE AsgldChunk locate(int64_t chunk) const {
    const auto [tensor, network, first, elements] = locate_chunk(tensors, count, chunk);
    const int64_t length = networks / runs, run = network / length;
    return {tensor, network, run, first, tensor->offset + first - run * length * tensor->size, elements};
  }
};

// The numbers of a step in the type T it is computed in, and what becomes of one element.
template <typename T>
struct AsgldElement {
  T minus_lr, sigma, bias, beta1, rest1, beta2, rest2, eps, decay, bound, polyak, sign, grad_factor, drift_factor;
  bool noisy;

  HOST_DEVICE AsgldElement(const Asgld& a, double factor) {
    const double lr = a.lr[0], temperature = a.temperature[0];
    minus_lr = static_cast<T>(-lr), sigma = static_cast<T>(sqrt_rn(2.0 * lr * temperature));
    bias = static_cast<T>(a.bias), eps = static_cast<T>(a.eps), decay = static_cast<T>(a.weight_decay);
    beta1 = static_cast<T>(a.beta1), rest1 = static_cast<T>(1.0 - a.beta1), polyak = static_cast<T>(a.polyak);
    beta2 = static_cast<T>(a.beta2), rest2 = static_cast<T>(1.0 - a.beta2);
    bound = static_cast<T>(a.clip == Clip::drift_value ? a.clip_threshold : HUGE_VAL);
    sign = static_cast<float>(a.grad_scale ? 1.0 / *a.grad_scale : 1.0) * (a.maximize ? -1 : 1);
    grad_factor = static_cast<T>(a.clip == Clip::grad_norm ? factor : 1.0);
    drift_factor = static_cast<T>(a.clip == Clip::drift_norm ? factor : 1.0);
    noisy = a.noise && temperature != 0.0;
  }
  HOST_DEVICE T gradient(T g) const { return g * sign * grad_factor; }
  HOST_DEVICE T first_moment(T m, T g) const { return m * beta1 + g * rest1; }
  HOST_DEVICE T second_moment(T v, T g) const { return v * beta2 + g * rest2 * g; }
  HOST_DEVICE T drift(Variant variant, T g, T m, T v) const {
    switch (variant) {
      case Variant::asgld: return g + m / (sqrt_rn(v) + eps) * bias;
      case Variant::preconditioned: return m / (sqrt_rn(v) + eps);
      case Variant::psgld: return g / (sqrt_rn(v) + eps);
      default: return g;
    }
  }
  HOST_DEVICE T bounded(T d) const { return (d < -bound ? -bound : d > bound ? bound : d) * drift_factor; }
  HOST_DEVICE T noise(Variant variant, T v, T xi) const {
    return variant == Variant::preconditioned ? xi * (sqrt_rn(T(1) / (sqrt_rn(v) + eps)) * sigma) : xi * sigma;
  }
  // theta + delta; the residual keeps what storing it as S lost (Knuth's two-sum).
  template <typename S>
  HOST_DEVICE S compensated(T theta, T delta, T* residual) const {
    const T total = theta + delta, moved = total - theta;
    const S stored = narrow<S>(total);
    *residual = (total - widen(stored)) + ((theta - (total - moved)) + (delta - moved));
    return stored;
  }
  HOST_DEVICE T followed(T target, T theta) const { return target + (theta - target) * polyak; }
};

namespace cpu {  // over chunks, networks, chunks
void asgld_sums(const Asgld& args, int64_t begin, int64_t end);
void asgld_factors(const Asgld& args, int64_t begin, int64_t end);
void asgld_step(const Asgld& args, int64_t begin, int64_t end);
}  // namespace cpu

namespace cuda {
void asgld_sums(const Asgld& args, void* stream);
void asgld_factors(const Asgld& args, void* stream);
void asgld_step(const Asgld& args, void* stream);
}  // namespace cuda

}  // namespace pyslsac
