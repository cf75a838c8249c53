// Products with a matrix whose columns are first packed into panels of two vectors, which then stay in the nearest
// cache.
#pragma once

#include "four.h"
#include "nonzero.h"
#include "tile.h"

namespace pyslsac {

constexpr int64_t kFewRows = 8;  // up to here packing costs more than it saves

// The first kVectors vectors of a panel's columns.
template <typename S, int kVectors, typename Left, typename Sink>
HOST_DEVICE void panel_tiles(const Left& left, int64_t step, int64_t depth, const float* panel, const Sink& sink,
                             int64_t rows) {
  const Rows<const float> right{panel, Lanes<S>::kPanel};
  tiles<typename Lanes<S>::V, S::kRows, kVectors, float>(left, step, depth, right, sink, rows, 0);
}

struct Aside {  // [rows, kPanel]
  float* to;
  int64_t stride;
  template <typename V>
  HOST_DEVICE void operator()(int64_t i, int64_t c, V sum) const {
    store(to + i * stride + c, sum);
  }
};

// A panel, of whose columns only so many count: fewer than all go by way of `aside`, room for rows of a panel.
template <typename S, typename Left, typename Sink>
HOST_DEVICE void panel_product(const Left& left, int64_t step, int64_t depth, const float* panel, float* aside,
                               const Sink& sink, int64_t rows, int64_t columns) {
  constexpr int64_t kPanel = Lanes<S>::kPanel;
  if (columns >= kPanel) return panel_tiles<S, 2>(left, step, depth, panel, sink, rows);
  const Aside all{aside, kPanel};
  columns > Lanes<S>::kVector ? panel_tiles<S, 2>(left, step, depth, panel, all, rows)
                              : panel_tiles<S, 1>(left, step, depth, panel, all, rows);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t c = 0; c < columns; ++c) sink(i, c, aside[i * kPanel + c]);
}

// sink(i, c, sum_j left[i][j step] right[j][c]) for i < rows, c < columns; `right` is [depth, columns], rows `stride`
// apart. `panel` is room for depth + rows rows of a panel, and for a row of columns.
template <typename S, typename Left, typename Sink>
HOST_DEVICE void by_panels(const Left& left, int64_t step, int64_t depth, const float* right, int64_t stride,
                           float* panel, const Sink& sink, int64_t rows, int64_t columns) {
  constexpr int64_t kPanel = Lanes<S>::kPanel;
  for (int64_t c = 0; c < columns; c += kPanel) {
    if (c + kPanel <= columns)
      for (int64_t j = 0; j < depth; ++j) memcpy(panel + j * kPanel, right + j * stride + c, kPanel * sizeof(float));
    else
      for (int64_t j = 0; j < depth; ++j) {
        std::fill(panel + j * kPanel, panel + (j + 1) * kPanel, 0.0f);
        std::copy(right + j * stride + c, right + j * stride + columns, panel + j * kPanel);
      }
    panel_product<S>(left, step, depth, panel, panel + depth * kPanel, sink.from(c), rows, columns - c);
  }
}

// The same of any number of rows.
template <typename S, typename Left, typename Sink>
HOST_DEVICE void by_columns(const Left& left, int64_t step, int64_t depth, const float* right, int64_t stride,
                            float* panel, const Sink& sink, int64_t rows, int64_t columns) {
  if (rows > kFewRows) return by_panels<S>(left, step, depth, right, stride, panel, sink, rows, columns);
  for (int64_t i = 0; i < rows; ++i) {
    std::fill(panel, panel + columns, 0.0f);
    for (int64_t j = 0; j < depth; ++j)
      for (int64_t c = 0; c < columns; ++c) panel[c] += left[i][j * step] * right[j * stride + c];
    for (int64_t c = 0; c < columns; ++c) sink(i, c, panel[c]);
  }
}

// The same for the transpose of right [columns, depth].
template <typename S, typename Left, typename Sink>
HOST_DEVICE void by_rows(const Left& left, int64_t depth, const float* right, float* panel, const Sink& sink,
                         int64_t rows, int64_t columns) {
  constexpr int64_t kPanel = Lanes<S>::kPanel;
  for (int64_t c = 0; c < columns; c += kPanel) {
    const int64_t width = std::min(kPanel, columns - c);
    if (width < kPanel) std::fill(panel, panel + depth * kPanel, 0.0f);
    transpose(right + c * depth, width, depth, panel, kPanel);
    panel_product<S>(left, 1, depth, panel, panel + depth * kPanel, sink.from(c), rows, width);
  }
}

// sink(i, c, factor x_c) for c < count
template <typename S, typename Sink>
HOST_DEVICE void scaled(float factor, const float* x, int64_t count, const Sink& sink, int64_t i) {
  using L = Lanes<S>;
  int64_t c = 0;
  for (; c + L::kVector <= count; c += L::kVector) sink(i, c, factor * load<typename L::V>(x + c));
  for (; c < count; ++c) sink(i, c, factor * x[c]);
}

// sum_i x_i y_i
template <typename S, typename T>
HOST_DEVICE T inner(const T* x, const T* y, int64_t count) {
  using V = typename VectorOf<T, S::kBytes>::type;
  constexpr int64_t kVector = S::kBytes / sizeof(T);
  V sum[2] = {};
  int64_t i = 0;
  for (; i + 2 * kVector <= count; i += 2 * kVector)
    UNROLL for (int v = 0; v < 2; ++v) sum[v] += load<V>(x + i + v * kVector) * load<V>(y + i + v * kVector);
  sum[0] += sum[1];
  T all = total(sum[0]);
  for (; i < count; ++i) all += x[i] * y[i];
  return all;
}

}  // namespace pyslsac
