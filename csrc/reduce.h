// Sums whose rounding does not depend on who adds: chunks of 4,096 elements, 256 lanes inside a chunk, lanes halved in
// a fixed tree, chunk sums added in float64 in index order. One thread, many threads and a GPU (reduce.cuh) agree on
// every bit.
#pragma once

#include <cstdint>
#include <type_traits>

#include "platform.h"

namespace pyslsac {

constexpr int64_t kReduceChunk = 4096;
constexpr int kReduceLanes = 256;

HOST_DEVICE int64_t reduce_chunks(int64_t count) { return (count + kReduceChunk - 1) / kReduceChunk; }

// The sum of squares of one chunk, count <= kReduceChunk: lane l adds elements l, l + 256, ... X is a pointer, or
// anything whose x[i] is the element in the type to add in.
template <typename X>
HOST_DEVICE auto sum_squares_chunk(X x, int64_t count) {
  using T = std::decay_t<decltype(x[0])>;
  T lane[kReduceLanes] = {};
  for (int64_t row = 0; row < count; row += kReduceLanes) {
    const int64_t width = count - row < kReduceLanes ? count - row : kReduceLanes;
    for (int64_t l = 0; l < width; ++l) {
      const T value = x[row + l];
      lane[l] = fma_rn(value, value, lane[l]);
    }
  }
  for (int half = kReduceLanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

// Chunk sums added up in index order.
HOST_DEVICE double sum_chunks(const double* chunk, int64_t count) {
  double total = 0;
  for (int64_t i = 0; i < count; ++i) total += chunk[i];
  return total;
}

}  // namespace pyslsac
