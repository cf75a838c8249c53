// Matrix products in register tiles as wide as the SIMD level of the function that they are inlined into, for operands
// whose rows may lie anywhere.
#pragma once

#include <algorithm>
#include <cstring>

#include "../platform.h"

namespace pyslsac {

// Vectors of `kBytes`, `kRows` rows of two vectors to a tile: all of it in registers.
template <int kVectorBytes, int kTileRows>
struct Simd {
  static constexpr int kBytes = kVectorBytes, kRows = kTileRows;
};

// BODY(target, Simd, ...) for every SIMD level, a function by one name in each: the loader picks the widest that runs.
#if SIMD_TARGETS
#define SIMD_LEVELS(BODY, ...)                                             \
  BODY(__attribute__((target("default"))), Simd16, __VA_ARGS__)            \
  BODY(__attribute__((target("arch=x86-64-v3"))), Simd32, __VA_ARGS__)     \
  BODY(__attribute__((target("arch=x86-64-v4"))), Simd64, __VA_ARGS__)
#else
#define SIMD_LEVELS(BODY, ...) BODY(, Simd16, __VA_ARGS__)
#endif
using Simd16 = Simd<16, 4>;
using Simd32 = Simd<32, 4>;
using Simd64 = Simd<64, 8>;

template <typename T, int kBytes>
struct VectorOf {
  typedef T type __attribute__((vector_size(kBytes)));
};

template <typename V, typename T>
HOST_DEVICE V load(const T* from) {
  V v;
  memcpy(&v, from, sizeof v);
  return v;
}
template <typename V, typename T>
HOST_DEVICE void store(T* to, V v) {
  memcpy(to, &v, sizeof v);
}

// Rows `stride` apart, in order or picked by index.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;
  HOST_DEVICE T* operator[](int64_t i) const { return data + i * stride; }
};
template <typename T>
struct Picked {
  T* data;
  int64_t stride;
  const int32_t* index;
  HOST_DEVICE T* operator[](int64_t i) const { return data + index[i] * stride; }
};

// One tile: rows first .. first + R - 1 of columns column .. column + C lanes - 1; rows past `rows` repeat the last one
// and are dropped.
template <typename V, int R, int C, typename T, typename Left, typename Right, typename Sink>
HOST_DEVICE void tile(const Left& left, int64_t step, int64_t depth, const Right& right, const Sink& sink,
                      int64_t first, int64_t rows, int64_t column) {
  constexpr int kLanes = sizeof(V) / sizeof(T);
  const T* row[R];
  UNROLL for (int i = 0; i < R; ++i) row[i] = left[std::min(first + i, rows - 1)];
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
  UNROLL for (int i = 0; i < R; ++i) if (first + i < rows)
    UNROLL for (int c = 0; c < C; ++c) sink(first + i, column + c * kLanes, sum[i][c]);
}

// sink(i, c, sum_j left[i][j step] right[j][c .. c + lanes - 1]) for all i < rows and c < columns.
template <typename S, typename T, typename Left, typename Right, typename Sink>
HOST_DEVICE void product(const Left& left, int64_t step, int64_t depth, const Right& right, const Sink& sink,
                         int64_t rows, int64_t columns) {
  using V = typename VectorOf<T, S::kBytes>::type;
  constexpr int64_t kLanes = S::kBytes / sizeof(T);
  int64_t column = 0;
  for (; column + 2 * kLanes <= columns; column += 2 * kLanes)
    for (int64_t i = 0; i < rows; i += S::kRows)
      tile<V, S::kRows, 2, T>(left, step, depth, right, sink, i, rows, column);
  for (; column + kLanes <= columns; column += kLanes)
    for (int64_t i = 0; i < rows; i += S::kRows)
      tile<V, S::kRows, 1, T>(left, step, depth, right, sink, i, rows, column);
  for (; column < columns; ++column)
    for (int64_t i = 0; i < rows; i += S::kRows)
      tile<T, S::kRows, 1, T>(left, step, depth, right, sink, i, rows, column);
}

}  // namespace pyslsac
