#include "../adam.h"

#include <algorithm>
#include <cmath>

#include "../reduce.h"

namespace pyslsac {

namespace {

template <typename T>
struct Chunk {  // count elements of one run from `first` of the tensor on
  const AdamTensor& tensor;
  int64_t run, first, count;

  static Chunk of(const Adam& args, int64_t number) {
    const AdamTensor* t = args.tensors + args.count - 1;
    while (t->first_chunk > number) --t;
    const int64_t each = reduce_chunks(t->size), run = (number - t->first_chunk) / each;
    const int64_t start = (number - t->first_chunk) % each * kReduceChunk;
    return {*t, run, run * t->size + start, std::min(t->size - start, kReduceChunk)};
  }
  T* at(void* data) const { return static_cast<T*>(data) + first; }
};

template <typename T>
struct Widened {
  const T* x;
  HOST_DEVICE double operator[](int64_t i) const { return x[i]; }
};

SIMD_CLONES double sum_squares(const float* x, int64_t count) { return sum_squares_chunk(Widened<float>{x}, count); }
SIMD_CLONES double sum_squares(const double* x, int64_t count) { return sum_squares_chunk(x, count); }

template <typename T>
HOST_DEVICE void step(const Adam& args, const Chunk<T>& c, T factor) {
  T *param = c.at(c.tensor.param), *grad = c.at(c.tensor.grad);
  T *m = c.at(c.tensor.exp_avg), *v = c.at(c.tensor.exp_avg_sq);
  const T rest1 = static_cast<T>(1 - args.beta1), beta2 = static_cast<T>(args.beta2), eps = static_cast<T>(args.eps);
  const T rest2 = static_cast<T>(1 - args.beta2), decay = static_cast<T>(args.weight_decay);
  const T size = static_cast<T>(args.lr / (1 - std::pow(args.beta1, c.tensor.step))), sign = args.maximize ? -1 : 1;
  const T wider = static_cast<T>(1 / std::sqrt(1 - std::pow(args.beta2, c.tensor.step)));
  if (factor != 1)
    for (int64_t i = 0; i < c.count; ++i) grad[i] *= factor;
  for (int64_t i = 0; i < c.count; ++i) {
    const T g = sign * grad[i] + decay * param[i];
    m[i] += rest1 * (g - m[i]);
    v[i] = beta2 * v[i] + rest2 * g * g;
    param[i] -= size * m[i] / (sqrt_rn(v[i]) * wider + eps);
  }
}

SIMD_CLONES void step_chunk(const Adam& args, const Chunk<float>& c, float factor) { step(args, c, factor); }
SIMD_CLONES void step_chunk(const Adam& args, const Chunk<double>& c, double factor) { step(args, c, factor); }

template <typename T>
void sums_of(const Adam& args, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const auto c = Chunk<T>::of(args, i);
    args.sums[i] = sum_squares(c.at(c.tensor.grad), c.count);
  }
}

template <typename T>
void steps_of(const Adam& args, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const auto c = Chunk<T>::of(args, i);
    step_chunk(args, c, args.factors ? static_cast<T>(args.factors[c.run]) : T(1));
  }
}

}  // namespace

namespace cpu {

void adam_sums(const Adam& args, int64_t begin, int64_t end) {
  (args.wide ? sums_of<double> : sums_of<float>)(args, begin, end);
}

void adam_factors(const Adam& args, int64_t begin, int64_t end) {
  for (int64_t run = begin; run < end; ++run) {
    double squares = 0;
    for (const AdamTensor* t = args.tensors; t < args.tensors + args.count; ++t)
      squares += sum_chunks(args.sums + t->first_chunk + run * reduce_chunks(t->size), reduce_chunks(t->size));
    const double ratio = args.grad_norm / (std::sqrt(squares) + 1e-6);
    args.factors[run] = ratio > 1 ? 1 : ratio;  // a NaN stays one
  }
}

void adam_step(const Adam& args, int64_t begin, int64_t end) {
  (args.wide ? steps_of<double> : steps_of<float>)(args, begin, end);
}

}  // namespace cpu
}  // namespace pyslsac
