// Matrix products in register tiles as wide as the SIMD level of the function that they are inlined into.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "simd.h"

namespace pyslsac {

// Does a sink ask for what it reads before the sums are there, by expect(i, c)?
template <typename Sink, typename = void>
constexpr bool kExpects = false;
template <typename Sink>
constexpr bool kExpects<Sink, std::void_t<decltype(std::declval<Sink>().expect(0, 0))>> = true;

// One tile: rows first .. first + R - 1 of columns column .. column + C lanes - 1; rows past `rows` repeat the last one
// and are dropped.
template <typename V, int R, int C, typename T, typename Left, typename Right, typename Sink>
HOST_DEVICE void tile(const Left& left, int64_t step, int64_t depth, const Right& right, const Sink& sink,
                      int64_t first, int64_t rows, int64_t column) {
  constexpr int kLanes = sizeof(V) / sizeof(T);
  const T* row[R];
  UNROLL for (int i = 0; i < R; ++i) row[i] = left[std::min(first + i, rows - 1)];
  if constexpr (kExpects<Sink>) UNROLL for (int i = 0; i < R; ++i) sink.expect(std::min(first + i, rows - 1), column);
  V sum[R][C] = {};
  for (int64_t j = 0; j < depth; ++j) {
    const T* from = right[j] + column;
    V x[C];
    UNROLL for (int c = 0; c < C; ++c) x[c] = load<V>(from + c * kLanes);
    UNROLL for (int i = 0; i < R; ++i) {
      const T factor = row[i][j * step];
      UNROLL for (int c = 0; c < C; ++c) sum[i][c] += factor * x[c];
    }
  }
  UNROLL for (int i = 0; i < R; ++i) if (first + i < rows) UNROLL for (int c = 0; c < C; ++c)
      sink(first + i, column + c * kLanes, sum[i][c]);
}

// Tiles of R rows down a column of them; the last one may have half as many.
template <typename V, int R, int C, typename T, typename Left, typename Right, typename Sink>
HOST_DEVICE void tiles(const Left& left, int64_t step, int64_t depth, const Right& right, const Sink& sink,
                       int64_t rows, int64_t column) {
  for (int64_t i = 0; i < rows; i += R)
    rows - i > R / 2 ? tile<V, R, C, T>(left, step, depth, right, sink, i, rows, column)
                     : tile<V, R / 2, C, T>(left, step, depth, right, sink, i, rows, column);
}

// sink(i, c, sum_j left[i][j step] right[j][c .. c + lanes - 1]) for all i < rows and c < columns.
template <typename S, typename T, typename Left, typename Right, typename Sink>
HOST_DEVICE void product(const Left& left, int64_t step, int64_t depth, const Right& right, const Sink& sink,
                         int64_t rows, int64_t columns) {
  using V = typename VectorOf<T, S::kBytes>::type;
  using Half = typename VectorOf<T, S::kBytes / 2>::type;
  constexpr int64_t kLanes = S::kBytes / sizeof(T), kHalf = kLanes / 2;
  int64_t column = 0;
  for (; column + 2 * kLanes <= columns; column += 2 * kLanes)
    tiles<V, S::kRows, 2, T>(left, step, depth, right, sink, rows, column);
  for (; column + kLanes <= columns; column += kLanes)
    tiles<V, S::kRows, 1, T>(left, step, depth, right, sink, rows, column);
  if (kHalf > 1 && column + kHalf <= columns) {
    tiles<Half, S::kRows, 1, T>(left, step, depth, right, sink, rows, column);
    column += kHalf;
  }
  for (; column < columns; ++column) tiles<T, S::kRows, 1, T>(left, step, depth, right, sink, rows, column);
}

}  // namespace pyslsac
