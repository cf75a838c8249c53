#include "../asgld.h"

#include <algorithm>

namespace pyslsac {

namespace {

constexpr int64_t kBlock = 1024;  // elements that go through all stages in the first-level cache

// A stretch of one network's slice: elements first .. first + count - 1 of the tensor, `number` the first's in its run.
struct Stretch {
  const AsgldTensor* tensor;
  int64_t network, run, first, number, count;
};

Stretch stretch_of(const Asgld& args, int64_t chunk) {
  const auto* tensor = std::upper_bound(args.tensors, args.tensors + args.count, chunk,
                                        [](int64_t c, const AsgldTensor& t) { return c < t.first_chunk; }) -
                       1;
  const int64_t network = (chunk - tensor->first_chunk) / tensor->chunks();
  const int64_t start = (chunk - tensor->first_chunk) % tensor->chunks() * kAsgldChunk;
  const int64_t each = args.networks / args.runs, run = network / each;
  return {tensor,
          network,
          run,
          network * tensor->size + start,
          tensor->offset + network % each * tensor->size + start,
          std::min(kAsgldChunk, tensor->size - start)};
}

template <typename T>
HOST_DEVICE T* at(void* data, int64_t first) {
  return data ? static_cast<T*>(data) + first : nullptr;
}

// x <- the drift of `count` elements from `first` on; their moments take the gradient if they have not yet.
template <typename S, typename T>
HOST_DEVICE void drift_stage(const Asgld& args, const AsgldElement<T>& e, const AsgldTensor& t, int64_t first,
                             int64_t count, bool fresh, T* x) {
  const S* grad = static_cast<const S*>(t.grad) + first;
  T *m = at<T>(t.exp_avg, first), *v = at<T>(t.exp_avg_sq, first);
  const T clip = args.clip == Clip::kGradNorm ? e.clip : T(1);
  for (int64_t i = 0; i < count; ++i) x[i] = widen(grad[i]) * e.scale * clip;
  if (m && fresh)
    for (int64_t i = 0; i < count; ++i) m[i] = e.first_moment(m[i], x[i]);
  if (v && fresh)
    for (int64_t i = 0; i < count; ++i) v[i] = e.second_moment(v[i], x[i]);
  if (args.variant == Variant::kAsgld)
    for (int64_t i = 0; i < count; ++i) x[i] = e.drift(Variant::kAsgld, x[i], m[i], v[i]);
  if (args.variant == Variant::kPreconditioned)
    for (int64_t i = 0; i < count; ++i) x[i] = e.drift(Variant::kPreconditioned, x[i], m[i], v[i]);
  if (args.variant == Variant::kPsgld)
    for (int64_t i = 0; i < count; ++i) x[i] = e.drift(Variant::kPsgld, x[i], T{}, v[i]);
}

// lane[i % 256] += what the norm is taken of, squared, for elements i of a chunk from a multiple of 256 on.
template <typename S>
HOST_DEVICE void square_stage(const Asgld& args, const AsgldElement<Wide<S>>& e, const AsgldTensor& t, int64_t first,
                              int64_t count, double* lane) {
  alignas(64) Wide<S> x[kBlock];
  if (args.clip == Clip::kDriftNorm) {
    drift_stage<S>(args, e, t, first, count, true, x);
  } else {
    const S* grad = static_cast<const S*>(t.grad) + first;
    for (int64_t i = 0; i < count; ++i) x[i] = widen(grad[i]) * e.scale;
  }
  for (int64_t row = 0; row < count; row += kAsgldLanes) {
    const int64_t width = std::min(kAsgldLanes, count - row);
    for (int64_t i = 0; i < width; ++i) lane[i] += static_cast<double>(x[row + i]) * static_cast<double>(x[row + i]);
  }
}

// theta <- theta + delta for `count` elements from `first` on, whose normals are xi; then the target follows.
template <typename S>
HOST_DEVICE void step_stage(const Asgld& args, const AsgldElement<Wide<S>>& e, const AsgldTensor& t, int64_t first,
                            int64_t count, const float* xi) {
  using T = Wide<S>;
  alignas(64) T x[kBlock];
  drift_stage<S>(args, e, t, first, count, args.clip != Clip::kDriftNorm, x);
  if (args.clip == Clip::kDriftNorm)
    for (int64_t i = 0; i < count; ++i) x[i] = x[i] * e.clip;
  if (args.clip == Clip::kDriftValue)
    for (int64_t i = 0; i < count; ++i) x[i] = e.bounded(x[i]);
  S *theta = at<S>(t.param, first), *target = at<S>(t.target, first);
  T *residual = at<T>(t.residual, first), *v = at<T>(t.exp_avg_sq, first);
  if (e.decay != 0)
    for (int64_t i = 0; i < count; ++i) x[i] = fma_rn(e.decay, widen(theta[i]), x[i]);
  if (!e.noisy && !residual) {
    for (int64_t i = 0; i < count; ++i) theta[i] = narrow<S>(fma_rn(e.minus_lr, x[i], widen(theta[i])));
  } else {
    if (!e.noisy)
      for (int64_t i = 0; i < count; ++i) x[i] = x[i] * e.minus_lr;
    else if (args.variant == Variant::kPreconditioned)
      for (int64_t i = 0; i < count; ++i) x[i] = x[i] * e.minus_lr + xi[i] * (e.gain(v[i]) * e.sigma);
    else
      for (int64_t i = 0; i < count; ++i) x[i] = x[i] * e.minus_lr + xi[i] * e.sigma;
    if (residual)
      for (int64_t i = 0; i < count; ++i)
        theta[i] = e.template compensated<S>(widen(theta[i]), x[i] + residual[i], &residual[i]);
    else
      for (int64_t i = 0; i < count; ++i) theta[i] = narrow<S>(widen(theta[i]) + x[i]);
  }
  if (target)
    for (int64_t i = 0; i < count; ++i) target[i] = narrow<S>(e.followed(widen(target[i]), widen(theta[i])));
}

#define STAGES(S, NAME)                                                                                                \
  SIMD_CLONES void square_##NAME(const Asgld& args, const AsgldElement<Wide<S>>& e, const AsgldTensor& t,              \
                                 int64_t first, int64_t count, double* lane) {                                         \
    square_stage<S>(args, e, t, first, count, lane);                                                                   \
  }                                                                                                                    \
  SIMD_CLONES void step_##NAME(const Asgld& args, const AsgldElement<Wide<S>>& e, const AsgldTensor& t, int64_t first, \
                               int64_t count, const float* xi) {                                                       \
    step_stage<S>(args, e, t, first, count, xi);                                                                       \
  }
STAGES(float, float32)
STAGES(double, float64)
STAGES(Bfloat16, bfloat16)
#undef STAGES

}  // namespace

namespace cpu {

void asgld_sums(const Asgld& args, int64_t begin, int64_t end) {
  if (args.skipped()) return;
  const AsgldElement<float> narrow_element(args);
  const AsgldElement<double> wide_element(args);
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    const Stretch s = stretch_of(args, chunk);
    alignas(64) double lane[kAsgldLanes]{};
    for (int64_t done = 0; done < s.count; done += kBlock) {
      const int64_t first = s.first + done, count = std::min(kBlock, s.count - done);
      switch (s.tensor->storage) {
        case Storage::kFloat32: square_float32(args, narrow_element, *s.tensor, first, count, lane); break;
        case Storage::kFloat64: square_float64(args, wide_element, *s.tensor, first, count, lane); break;
        case Storage::kBfloat16: square_bfloat16(args, narrow_element, *s.tensor, first, count, lane); break;
      }
    }
    for (int64_t half = kAsgldLanes / 2; half > 0; half /= 2)
      for (int64_t i = 0; i < half; ++i) lane[i] += lane[i + half];
    args.sums[chunk] = lane[0];
  }
}

void asgld_factors(const Asgld& args, int64_t begin, int64_t end) {
  for (int64_t network = begin; network < end; ++network) {
    double squares = 0;
    for (int64_t i = 0; i < args.count; ++i) {
      const AsgldTensor& t = args.tensors[i];
      const double* sums = args.sums + t.first_chunk + network * t.chunks();
      for (int64_t chunk = 0; chunk < t.chunks(); ++chunk) squares += sums[chunk];
    }
    args.factors[network] = args.factor(squares);
  }
}

void asgld_step(const Asgld& args, int64_t begin, int64_t end) {
  if (args.skipped()) return;
  AsgldElement<float> narrow_element(args);
  AsgldElement<double> wide_element(args);
  alignas(64) float xi[kBlock];
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    const Stretch s = stretch_of(args, chunk);
    if (args.clip == Clip::kGradNorm || args.clip == Clip::kDriftNorm) {
      wide_element.clip = args.factors[s.network];
      narrow_element.clip = static_cast<float>(wide_element.clip);
    }
    for (int64_t done = 0; done < s.count; done += kBlock) {
      const int64_t first = s.first + done, count = std::min(kBlock, s.count - done);
      if (wide_element.noisy)
        philox_normal_fill(xi, count, s.number + done, args.seed[s.run], *s.tensor->step, s.tensor->stream);
      switch (s.tensor->storage) {
        case Storage::kFloat32: step_float32(args, narrow_element, *s.tensor, first, count, xi); break;
        case Storage::kFloat64: step_float64(args, wide_element, *s.tensor, first, count, xi); break;
        case Storage::kBfloat16: step_bfloat16(args, narrow_element, *s.tensor, first, count, xi); break;
      }
    }
  }
}

}  // namespace cpu
}  // namespace pyslsac
