// Lists of parameters that a step walks in the chunks of reduce.h, and norms of their groups: networks or runs, each a
// slice of every tensor. A tensor's description has its `size`, elements of one group, and the number of its
// `first_chunk` in the list, where group follows group.
#pragma once

#include "reduce.h"

namespace pyslsac {

template <typename Tensor>
struct TensorChunk {  // elements first .. first + count - 1 of the tensor, all of one group
  const Tensor* tensor;
  int64_t group, first, count;
};

template <typename Tensor>
HOST_DEVICE TensorChunk<Tensor> locate_chunk(const Tensor* tensors, int64_t count, int64_t number) {
  int64_t i = 0;
  for (int64_t end = count; end - i > 1;) {
    const int64_t middle = (i + end) / 2;
    (tensors[middle].first_chunk <= number ? i : end) = middle;
  }
  const Tensor& t = tensors[i];
  const int64_t each = reduce_chunks(t.size), group = (number - t.first_chunk) / each;
  const int64_t start = (number - t.first_chunk) % each * kReduceChunk, rest = t.size - start;
  return {&t, group, group * t.size + start, rest < kReduceChunk ? rest : kReduceChunk};
}

// Brings numbers whose squares add up to `squares` to a norm of at most `bound`.
HOST_DEVICE double clip_factor(double bound, double squares) {
  const double ratio = bound / (sqrt_rn(squares) + 1e-6);
  return ratio > 1.0 ? 1.0 : ratio;  // a NaN stays one
}

// The sum of squares of one group.
template <typename Tensor>
HOST_DEVICE double sum_group(const Tensor* tensors, int64_t count, const double* sums, int64_t group) {
  double total = 0;
  for (const Tensor* t = tensors; t < tensors + count; ++t)
    for (int64_t chunk = 0, each = reduce_chunks(t->size); chunk < each; ++chunk)
      total += sums[t->first_chunk + group * each + chunk];
  return total;
}

}  // namespace pyslsac
