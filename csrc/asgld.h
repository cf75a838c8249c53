// asgld_: one adaptive Langevin step on every tensor of a list (formulas: pyslsac/ops/asgld.py).
#pragma once

#include "bfloat16.h"
#include "philox.h"

namespace pyslsac {

enum class Variant { kAsgld, kPreconditioned, kPsgld, kSgld, kBiasless };  // the last: kAsgld whose bias is 0
enum class Clip { kGradNorm, kDriftValue, kDriftNorm, kNone };
enum class Storage { kFloat32, kFloat64, kBfloat16 };

constexpr int64_t kAsgldChunk = 4096;  // elements of one network's slice: the unit of work, and of the norms' tree
constexpr int64_t kAsgldLanes = 256;   // element i of a chunk adds to lane i % 256; then the lanes fold in halves

// One parameter [N, P]: P elements of each of N networks. Null where there is no such tensor.
struct AsgldTensor {
  void* param;
  const void* grad;
  void *exp_avg, *exp_avg_sq, *residual, *target;
  const int64_t* step;
  int64_t size, offset, first_chunk;  // P; number of a run's first element; its chunks in the list, network by network
  uint32_t stream;
  Storage storage;

  HOST_DEVICE int64_t chunks() const { return (size + kAsgldChunk - 1) / kAsgldChunk; }  // of one network
};

struct Asgld {
  const AsgldTensor* tensors;
  int64_t count, chunks;                // of the tensors; of all their chunks
  int64_t networks, runs;               // N, R: run r owns networks r N / R ..
  PerRun<int64_t> seed;                 // [R]
  PerRun<double> lr, temperature;       // one
  const float *grad_scale, *found_inf;  // one, or null
  double bias, beta1, beta2, eps, weight_decay, clip_threshold, polyak;
  Variant variant;
  Clip clip;
  bool maximize, noise;
  double *sums, *factors;  // [chunks] of squares; [N] that bring the networks' norms to the threshold

  HOST_DEVICE bool skipped() const { return found_inf && *found_inf != 0.0f; }
  HOST_DEVICE double factor(double squares) const {
    const double ratio = clip_threshold / (sqrt_rn(squares) + 1e-6);
    return ratio > 1.0 ? 1.0 : ratio;  // a NaN stays one
  }
};

// The numbers of a step in the type T it is computed in, and what becomes of one element.
template <typename T>
struct AsgldElement {
  T minus_lr, sigma, bias, beta1, rest1, beta2, rest2, eps, decay, bound, polyak, scale, clip = 1;
  bool noisy;

  HOST_DEVICE explicit AsgldElement(const Asgld& a) {
    const double lr = a.lr[0], temperature = a.temperature[0];
    const float unscale = a.grad_scale ? static_cast<float>(1.0 / *a.grad_scale) : 1.0f;
    minus_lr = static_cast<T>(-lr), sigma = static_cast<T>(sqrt_rn(2.0 * lr * temperature));
    bias = static_cast<T>(a.bias), eps = static_cast<T>(a.eps), decay = static_cast<T>(a.weight_decay);
    beta1 = static_cast<T>(a.beta1), rest1 = static_cast<T>(1.0 - a.beta1);
    beta2 = static_cast<T>(a.beta2), rest2 = static_cast<T>(1.0 - a.beta2);
    bound = static_cast<T>(a.clip_threshold), polyak = static_cast<T>(a.polyak);
    scale = a.maximize ? -unscale : unscale;
    noisy = a.noise && temperature != 0.0;
  }
  HOST_DEVICE T first_moment(T m, T g) const { return m * beta1 + g * rest1; }
  HOST_DEVICE T second_moment(T v, T g) const { return v * beta2 + g * rest2 * g; }
  HOST_DEVICE T drift(Variant variant, T g, T m, T v) const {
    switch (variant) {
      case Variant::kAsgld: return g + m / (sqrt_rn(v) + eps) * bias;
      case Variant::kPreconditioned: return m / (sqrt_rn(v) + eps);
      case Variant::kPsgld: return g / (sqrt_rn(v) + eps);
      default: return g;
    }
  }
  HOST_DEVICE T bounded(T d) const { return d < -bound ? -bound : d > bound ? bound : d; }
  HOST_DEVICE T gain(T v) const { return sqrt_rn(T(1) / (sqrt_rn(v) + eps)); }  // sqrt(G)

  // theta + delta, with what rounding it to storage S lost: Knuth's two-sum.
  template <typename S>
  HOST_DEVICE S compensated(T theta, T delta, T* residual) const {
    const T total = theta + delta, moved = total - theta;
    const T error = (theta - (total - moved)) + (delta - moved);
    const S stored = narrow<S>(total);
    *residual = (total - widen(stored)) + error;
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
