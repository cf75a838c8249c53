#include "../asgld.h"

#include <algorithm>

namespace pyslsac {

namespace {

constexpr int64_t kBlock = 1024;  // elements that go through all stages in the first-level cache

template <typename T>
HOST_DEVICE T* at(void* data, int64_t first) {
  return data ? static_cast<T*>(data) + first : nullptr;
}

// x <- the drift of elements first .. first + count - 1, unclipped; their moments take the gradient if `fresh`.
template <typename S, typename T = Wide<S>>
HOST_DEVICE void drift(const Asgld& args, const AsgldElement<T>& e, const AsgldTensor& t, int64_t first, int64_t count,
                       bool fresh, T* x) {
  const S* grad = static_cast<const S*>(t.grad) + first;
  T *m = at<T>(t.exp_avg, first), *v = at<T>(t.exp_avg_sq, first);
  for (int64_t i = 0; i < count; ++i) x[i] = e.gradient(widen(grad[i]));
  if (m && fresh)
    for (int64_t i = 0; i < count; ++i) m[i] = e.first_moment(m[i], x[i]);
  if (v && fresh)
    for (int64_t i = 0; i < count; ++i) v[i] = e.second_moment(v[i], x[i]);
  if (args.variant == Variant::asgld)
    for (int64_t i = 0; i < count; ++i) x[i] = e.drift(Variant::asgld, x[i], m[i], v[i]);
  if (args.variant == Variant::preconditioned)
    for (int64_t i = 0; i < count; ++i) x[i] = e.drift(Variant::preconditioned, x[i], m[i], v[i]);
  if (args.variant == Variant::psgld)
    for (int64_t i = 0; i < count; ++i) x[i] = e.drift(Variant::psgld, x[i], T{}, v[i]);
}

template <typename T>
struct Widened {
  const T* x;
  HOST_DEVICE double operator[](int64_t i) const { return x[i]; }
};

template <typename S, typename T = Wide<S>>
HOST_DEVICE double sum_of(const Asgld& args, const AsgldChunk& c) {
  alignas(64) T x[kReduceChunk];
  const AsgldElement<T> e(args, 1.0);
  const S* grad = static_cast<const S*>(c.tensor->grad) + c.first;
  if (args.clip == Clip::drift_norm)
    drift<S>(args, e, *c.tensor, c.first, c.count, true, x);
  else
    for (int64_t i = 0; i < c.count; ++i) x[i] = e.gradient(widen(grad[i]));
  return sum_squares_chunk(Widened<T>{x}, c.count);
}

// theta <- theta + delta for elements first .. first + count - 1, whose normals are xi; then the target follows.
template <typename S, typename T = Wide<S>>
HOST_DEVICE void move(const Asgld& args, const AsgldElement<T>& e, const AsgldTensor& t, int64_t first, int64_t count,
                      const float* xi) {
  alignas(64) T x[kBlock];
  S *theta = at<S>(t.param, first), *target = at<S>(t.target, first);
  T *residual = at<T>(t.residual, first), *v = at<T>(t.exp_avg_sq, first);
  drift<S>(args, e, t, first, count, args.clip != Clip::drift_norm, x);
  for (int64_t i = 0; i < count; ++i) x[i] = e.bounded(x[i]);
  if (e.decay != 0)
    for (int64_t i = 0; i < count; ++i) x[i] = fma_rn(e.decay, widen(theta[i]), x[i]);
  if (!e.noisy && !residual)
    for (int64_t i = 0; i < count; ++i) theta[i] = narrow<S>(fma_rn(e.minus_lr, x[i], widen(theta[i])));
  else
    for (int64_t i = 0; i < count; ++i) x[i] = x[i] * e.minus_lr;
  if (e.noisy && args.variant == Variant::preconditioned)
    for (int64_t i = 0; i < count; ++i) x[i] = x[i] + e.noise(Variant::preconditioned, v[i], xi[i]);
  else if (e.noisy)
    for (int64_t i = 0; i < count; ++i) x[i] = x[i] + e.noise(Variant::asgld, T{}, xi[i]);
  if (residual)
    for (int64_t i = 0; i < count; ++i)
      theta[i] = e.template compensated<S>(widen(theta[i]), x[i] + residual[i], &residual[i]);
  else if (e.noisy)
    for (int64_t i = 0; i < count; ++i) theta[i] = narrow<S>(widen(theta[i]) + x[i]);
  if (target)
    for (int64_t i = 0; i < count; ++i) target[i] = narrow<S>(e.followed(widen(target[i]), widen(theta[i])));
}

template <typename S>
HOST_DEVICE void step(const Asgld& args, const AsgldChunk& c) {
  alignas(64) float xi[kBlock];
  const AsgldElement<Wide<S>> e(args, args.norms() ? args.factors[c.network] : 1.0);
  for (int64_t done = 0; done < c.count; done += kBlock) {
    const int64_t count = std::min(kBlock, c.count - done);
    if (e.noisy) philox_normal_fill(xi, count, c.number + done, args.seed[c.run], *c.tensor->step, c.tensor->stream);
    move<S>(args, e, *c.tensor, c.first + done, count, xi);
  }
}

SIMD_CLONES double sum_of_chunk(const Asgld& args, const AsgldChunk& c) {
  if (c.tensor->storage == Storage::float32) return sum_of<float>(args, c);
  if (c.tensor->storage == Storage::float64) return sum_of<double>(args, c);
  return sum_of<Bfloat16>(args, c);
}

SIMD_CLONES void step_chunk(const Asgld& args, const AsgldChunk& c) {
  if (c.tensor->storage == Storage::float32) return step<float>(args, c);
  if (c.tensor->storage == Storage::float64) return step<double>(args, c);
  return step<Bfloat16>(args, c);
}

}  // namespace

namespace cpu {

void asgld_sums(const Asgld& args, int64_t begin, int64_t end) {
  if (args.skipped()) return;
  for (int64_t chunk = begin; chunk < end; ++chunk) args.sums[chunk] = sum_of_chunk(args, args.locate(chunk));
}

void asgld_factors(const Asgld& args, int64_t begin, int64_t end) {
  for (int64_t network = begin; network < end; ++network) {
    double squares = 0;
    for (const AsgldTensor* t = args.tensors; t < args.tensors + args.count; ++t)
      for (int64_t chunk = 0, each = reduce_chunks(t->size); chunk < each; ++chunk)
        squares += args.sums[t->first_chunk + network * each + chunk];
    args.factors[network] = args.factor(squares);
  }
}

void asgld_step(const Asgld& args, int64_t begin, int64_t end) {
  if (args.skipped()) return;
  for (int64_t chunk = begin; chunk < end; ++chunk) step_chunk(args, args.locate(chunk));
}

}  // namespace cpu
}  // namespace pyslsac
