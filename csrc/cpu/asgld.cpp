#include "../asgld.h"

#include <algorithm>

namespace pyslsac {

namespace {

constexpr int64_t kBlock = 256;  // elements that go through all stages in the first-level cache

template <typename T>
HOST_DEVICE T* at(void* data, int64_t first) {
  return data ? static_cast<T*>(data) + first : nullptr;
}

template <Variant V, typename S, typename T>
HOST_DEVICE void drift_of(const AsgldElement<T>& e, const S* grad, T* m, T* v, int64_t count, bool fresh, T* x) {
  constexpr bool first = V != Variant::psgld && V != Variant::sgld, second = V != Variant::sgld;
  for (int64_t i = 0; i < count; ++i) {
    const T g = e.gradient(widen(grad[i]));
    T mean{}, square{};
    if constexpr (first) m[i] = mean = fresh ? e.first_moment(m[i], g) : m[i];
    if constexpr (second) v[i] = square = fresh ? e.second_moment(v[i], g) : v[i];
    x[i] = e.bounded(e.drift(V, g, mean, square));
  }
}

// x <- the drift of elements first .. first + count - 1; their moments take the gradient if `fresh`.
template <typename S, typename T = Wide<S>>
HOST_DEVICE void drift(const Asgld& args, const AsgldElement<T>& e, const AsgldTensor& t, int64_t first, int64_t count,
                       bool fresh, T* x) {
  const S* grad = static_cast<const S*>(t.grad) + first;
  T *m = at<T>(t.exp_avg, first), *v = at<T>(t.exp_avg_sq, first);
  switch (args.variant) {
    case Variant::asgld: return drift_of<Variant::asgld>(e, grad, m, v, count, fresh, x);
    case Variant::preconditioned: return drift_of<Variant::preconditioned>(e, grad, m, v, count, fresh, x);
    case Variant::psgld: return drift_of<Variant::psgld>(e, grad, m, v, count, fresh, x);
    case Variant::sgld: return drift_of<Variant::sgld>(e, grad, m, v, count, fresh, x);
    case Variant::biasless: return drift_of<Variant::biasless>(e, grad, m, v, count, fresh, x);
  }
}

// The scaled gradient, widened; or numbers that stand there.
template <typename S, typename T>
struct Measured {
  const AsgldElement<T>& e;
  const S* grad;
  const T* x;
  HOST_DEVICE double operator[](int64_t i) const { return x ? x[i] : e.gradient(widen(grad[i])); }
};

template <typename S, typename T = Wide<S>>
HOST_DEVICE double sum_of(const Asgld& args, const AsgldChunk& c) {
  const AsgldElement<T> e(args, 1.0);
  const S* grad = static_cast<const S*>(c.tensor->grad) + c.first;
  if (args.clip == Clip::grad_norm) return sum_squares_chunk(Measured<S, T>{e, grad, nullptr}, c.count);
  alignas(64) T x[kReduceChunk];
  drift<S>(args, e, *c.tensor, c.first, c.count, true, x);
  return sum_squares_chunk(Measured<S, T>{e, nullptr, x}, c.count);
}

// theta <- theta + delta for elements first .. first + count - 1, whose normals are xi; then the target follows.
template <typename S, typename T = Wide<S>>
HOST_DEVICE void move(const Asgld& args, const AsgldElement<T>& e, const AsgldTensor& t, int64_t first, int64_t count,
                      const float* xi) {
  alignas(64) T x[kBlock];
  S *theta = at<S>(t.param, first), *target = at<S>(t.target, first);
  T *residual = at<T>(t.residual, first), *v = at<T>(t.exp_avg_sq, first);
  drift<S>(args, e, t, first, count, args.clip != Clip::drift_norm, x);
  if (e.decay != 0)
    for (int64_t i = 0; i < count; ++i) x[i] = fma_rn(e.decay, widen(theta[i]), x[i]);
  const bool gained = args.variant == Variant::preconditioned;
  if (!e.noisy && !residual)
    for (int64_t i = 0; i < count; ++i) theta[i] = narrow<S>(fma_rn(e.minus_lr, x[i], widen(theta[i])));
  else if (!e.noisy)
    for (int64_t i = 0; i < count; ++i) x[i] = x[i] * e.minus_lr;
  else if (gained)
    for (int64_t i = 0; i < count; ++i)
      x[i] = x[i] * e.minus_lr + e.noise(Variant::preconditioned, v[i], static_cast<T>(xi[i]));
  else if (residual)
    for (int64_t i = 0; i < count; ++i) x[i] = x[i] * e.minus_lr + e.noise(Variant::asgld, T{}, static_cast<T>(xi[i]));
  else
    for (int64_t i = 0; i < count; ++i)
      theta[i] = narrow<S>(widen(theta[i]) + (x[i] * e.minus_lr + e.noise(Variant::asgld, T{}, static_cast<T>(xi[i]))));
  if (residual)
    for (int64_t i = 0; i < count; ++i)
      theta[i] = e.template compensated<S>(widen(theta[i]), x[i] + residual[i], &residual[i]);
  else if (e.noisy && gained)
    for (int64_t i = 0; i < count; ++i) theta[i] = narrow<S>(widen(theta[i]) + x[i]);
  if (target)
    for (int64_t i = 0; i < count; ++i) target[i] = narrow<S>(e.followed(widen(target[i]), widen(theta[i])));
}

// Asks for what a block needs while its normals are made: else memory and arithmetic take turns.
template <typename S>
HOST_DEVICE void prefetch(const AsgldTensor& t, int64_t first, int64_t count) {
  for (const void* data : {static_cast<const void*>(t.param), t.grad, static_cast<const void*>(t.exp_avg),
                           static_cast<const void*>(t.exp_avg_sq)}) {
    const int64_t each = data == t.param || data == t.grad ? sizeof(S) : sizeof(Wide<S>);
    for (int64_t byte = 0; data && byte < count * each; byte += 64)
      __builtin_prefetch(static_cast<const char*>(data) + first * each + byte);
  }
}

template <typename S>
HOST_DEVICE void step(const Asgld& args, const AsgldChunk& c) {
  alignas(64) float xi[kBlock];
  const AsgldElement<Wide<S>> e(args, args.norms() ? args.factors[c.network] : 1.0);
  for (int64_t done = 0; done < c.count; done += kBlock) {
    const int64_t count = std::min(kBlock, c.count - done);
    if (e.noisy) {
      prefetch<S>(*c.tensor, c.first + done, count);
      philox_normal_fill(xi, count, c.number + done, args.seed[c.run], *c.tensor->step, c.tensor->stream);
    }
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
  for (int64_t network = begin; network < end; ++network)
    args.factors[network] = args.factor(sum_group(args.tensors, args.count, args.sums, network));
}

void asgld_step(const Asgld& args, int64_t begin, int64_t end) {
  if (args.skipped()) return;
  for (int64_t chunk = begin; chunk < end; ++chunk) step_chunk(args, args.locate(chunk));
}

}  // namespace cpu
}  // namespace pyslsac
