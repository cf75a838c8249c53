// Four numbers at a time: sums and transposition.
#pragma once

#include "simd.h"

namespace pyslsac {

template <typename T>
using Four = typename VectorOf<T, 4 * sizeof(T)>::type;

// The sum of a [0 .. count - 1], or of a b; count is a multiple of four.
template <typename T>
HOST_DEVICE T sum(const T* a, int64_t count) {
  Four<T> x{};
  for (int64_t i = 0; i < count; i += 4) x += load<Four<T>>(a + i);
  return (x[0] + x[1]) + (x[2] + x[3]);
}
template <typename T>
HOST_DEVICE T sum(const T* a, const T* b, int64_t count) {
  Four<T> x{};
  for (int64_t i = 0; i < count; i += 4) x += load<Four<T>>(a + i) * load<Four<T>>(b + i);
  return (x[0] + x[1]) + (x[2] + x[3]);
}

// to [4, lanes] <- four numbers of each of four rows with the axes swapped
template <typename T>
HOST_DEVICE void transpose_four(const T* row0, const T* row1, const T* row2, const T* row3, T* to, int64_t lanes) {
  using V = Four<T>;
  const V x[4] = {load<V>(row0), load<V>(row1), load<V>(row2), load<V>(row3)};
  const V low[2] = {__builtin_shufflevector(x[0], x[1], 0, 4, 1, 5), __builtin_shufflevector(x[2], x[3], 0, 4, 1, 5)};
  const V high[2] = {__builtin_shufflevector(x[0], x[1], 2, 6, 3, 7), __builtin_shufflevector(x[2], x[3], 2, 6, 3, 7)};
  store(to, __builtin_shufflevector(low[0], low[1], 0, 1, 4, 5));
  store(to + lanes, __builtin_shufflevector(low[0], low[1], 2, 3, 6, 7));
  store(to + 2 * lanes, __builtin_shufflevector(high[0], high[1], 0, 1, 4, 5));
  store(to + 3 * lanes, __builtin_shufflevector(high[0], high[1], 2, 3, 6, 7));
}

// to [columns, lanes] <- from [rows, columns], rows `stride` apart, with its axes swapped; lanes past the rows are left
// alone.
template <typename T>
HOST_DEVICE void transpose(const T* __restrict from, int64_t rows, int64_t columns, T* __restrict to, int64_t lanes,
                           int64_t stride) {
  int64_t n = 0;
  for (; n + 4 <= rows; n += 4, from += 4 * stride) {
    const T *const one = from + stride, *const two = one + stride, *const three = two + stride;
    int64_t c = 0;
    for (; c + 4 <= columns; c += 4) transpose_four(from + c, one + c, two + c, three + c, to + c * lanes + n, lanes);
    for (; c < columns; ++c) store(to + c * lanes + n, Four<T>{from[c], one[c], two[c], three[c]});
  }
  for (; n < rows; ++n, from += stride)
    for (int64_t c = 0; c < columns; ++c) to[c * lanes + n] = from[c];
}
template <typename T>
HOST_DEVICE void transpose(const T* __restrict from, int64_t rows, int64_t columns, T* __restrict to, int64_t lanes) {
  transpose(from, rows, columns, to, lanes, columns);
}

}  // namespace pyslsac
