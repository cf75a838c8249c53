#include "../adam.h"

namespace pyslsac {

namespace {

using Chunk = TensorChunk<AdamTensor>;

template <typename T>
T* at(void* data, const Chunk& c) {
  return static_cast<T*>(data) + c.first;
}

SIMD_CLONES double sum_squares(const float* x, int64_t count) { return sum_squares_chunk(Widened<float>{x}, count); }
SIMD_CLONES double sum_squares(const double* x, int64_t count) { return sum_squares_chunk(x, count); }

template <typename T>
HOST_DEVICE void step(T* param, T* grad, T* m, T* v, int64_t count, const AdamElement<T>& e) {
  if (e.factor != 1)
    for (int64_t i = 0; i < count; ++i) grad[i] *= e.factor;
  for (int64_t i = 0; i < count; ++i) e.move(param[i], grad[i], m[i], v[i]);
}

SIMD_CLONES void step_chunk(float* param, float* grad, float* m, float* v, int64_t count, AdamElement<float> e) {
  step(param, grad, m, v, count, e);
}
SIMD_CLONES void step_chunk(double* param, double* grad, double* m, double* v, int64_t count, AdamElement<double> e) {
  step(param, grad, m, v, count, e);
}

template <typename T>
void step_of(const Adam& args, const Chunk& c) {
  const AdamTensor& t = *c.tensor;
  const double factor = args.norms() ? args.factors[c.group] : 1.0;
  step_chunk(at<T>(t.param, c), at<T>(t.grad, c), at<T>(t.exp_avg, c), at<T>(t.exp_avg_sq, c), c.count,
             AdamElement<T>::of(args, *t.step, factor));
}

}  // namespace

namespace cpu {

void adam_sums(const Adam& args, int64_t begin, int64_t end) {
  for (int64_t i = 0; begin == 0 && i < args.count; ++i) *args.tensors[i].step += 1;
  for (int64_t unit = begin > 0 ? begin : 1; unit < end; ++unit) {
    const Chunk c = args.locate(unit - 1);
    void* const grad = c.tensor->grad;
    args.sums[unit - 1] =
        args.wide ? sum_squares(at<double>(grad, c), c.count) : sum_squares(at<float>(grad, c), c.count);
  }
}

void adam_factors(const Adam& args, int64_t begin, int64_t end) {
  for (int64_t run = begin; run < end; ++run)
    args.factors[run] = args.factor(sum_group(args.tensors, args.count, args.sums, run));
}

void adam_step(const Adam& args, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) (args.wide ? step_of<double> : step_of<float>)(args, args.locate(i));
}

}  // namespace cpu
}  // namespace pyslsac
