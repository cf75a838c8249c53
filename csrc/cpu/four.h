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

// to [columns, lanes] <- from [rows, columns] with its axes swapped; lanes past the rows are left alone.
template <typename T>
HOST_DEVICE void transpose(const T* __restrict from, int64_t rows, int64_t columns, T* __restrict to, int64_t lanes) {
  int64_t n = 0;
  for (; n + 4 <= rows; n += 4, from += 4 * columns)
    for (int64_t c = 0; c < columns; ++c)
      store(to + c * lanes + n, Four<T>{from[c], from[columns + c], from[2 * columns + c], from[3 * columns + c]});
  for (; n < rows; ++n, from += columns)
    for (int64_t c = 0; c < columns; ++c) to[c * lanes + n] = from[c];
}

}  // namespace pyslsac
