// Left factors without the columns that a ReLU made zero.
#pragma once

#include <algorithm>

#include "four.h"

namespace pyslsac {

// Rows of ReLU's values or of gradients behind it, tile by tile without the columns that are zero in all rows of a
// tile: many are, the more so where rows are alike (actions of one state). Left out they change no sum, unless the
// other factor is not finite. A NaN is not zero.
template <typename S>
struct Nonzero {
  static constexpr int kRows = S::kRows, kLanes = (kRows + 3) / 4 * 4;
  const float* data;
  int64_t depth;
  float* value;             // [tiles, depth, kRows], of each tile its first `count` columns; the last row repeats
  uint32_t *place, *count;  // [tiles, depth], where a column's row of the panel starts, and [tiles]

  HOST_DEVICE const float* operator[](int64_t i) const { return data + i * depth; }

  HOST_DEVICE static int64_t size(int64_t rows, int64_t depth) {
    return (rows / kRows + 1) * (depth * (kRows + 1) + 1) + depth + (depth + 1) * kLanes;
  }

  // The bits of a column's elements in tile t together, without their signs: 0 where all are zero.
  HOST_DEVICE static void gather(const float* const (&row)[kRows], int64_t depth, uint32_t* any) {
    for (int64_t j = 0; j < depth; ++j) {
      uint32_t bits = 0;
      UNROLL for (int i = 0; i < kRows; ++i) bits |= bits_of(row[i][j]);
      any[j] = bits << 1;
    }
  }

  // Whether four tiles of all have so many zero columns that leaving them out saves more than it costs.
  HOST_DEVICE static bool pays(const float* data, int64_t rows, int64_t depth, float* memory) {
    if (rows < 2 * kRows) return false;
    uint32_t* const any = reinterpret_cast<uint32_t*>(memory);
    int64_t zero = 0;
    for (int64_t t = 0; t < 4; ++t) {
      const float* row[kRows];
      UNROLL for (int i = 0; i < kRows; ++i) row[i] = data + std::min(t * (rows / 4) + i, rows - 1) * depth;
      gather(row, depth, any);
      for (int64_t j = 0; j < depth; ++j) zero += !any[j];
    }
    return zero > depth / 2;  // an eighth
  }

  // to [depth, kLanes] <- the rows of a tile with the axes swapped
  HOST_DEVICE static void transpose_tile(const float* const (&row)[kRows], int64_t depth, float* to) {
    int64_t j = 0;
    for (; j + 4 <= depth; j += 4) UNROLL for (int i = 0; i < kRows; i += 4) {
        const int last = kRows - 1;
        transpose_four(row[i] + j, row[std::min(i + 1, last)] + j, row[std::min(i + 2, last)] + j,
                       row[std::min(i + 3, last)] + j, to + j * kLanes + i, kLanes);
      }
    for (; j < depth; ++j) UNROLL for (int i = 0; i < kRows; ++i) to[j * kLanes + i] = row[i][j];
  }

  HOST_DEVICE static Nonzero find(const float* data, int64_t rows, int64_t depth, float* memory) {
    using Column = typename VectorOf<float, kLanes * sizeof(float)>::type;
    const int64_t tiles = (rows + kRows - 1) / kRows;
    float* const columns = memory + tiles * depth * kRows + kLanes;  // a column's store may reach past the last tile
    uint32_t* const place = reinterpret_cast<uint32_t*>(columns + depth * kLanes);
    uint32_t *const count = place + tiles * depth, *const any = count + tiles;
    for (int64_t t = 0; t < tiles; ++t) {
      const float* row[kRows];
      UNROLL for (int i = 0; i < kRows; ++i) row[i] = data + std::min(t * kRows + i, rows - 1) * depth;
      gather(row, depth, any);
      transpose_tile(row, depth, columns);
      float* to = memory + t * depth * kRows;
      uint32_t* const at = place + t * depth;
      uint32_t kept = 0;
      for (int64_t j = 0; j < depth; ++j) {  // without branches: what is not kept, the next one covers
        store(to, load<Column>(columns + j * kLanes)), at[kept] = static_cast<uint32_t>(j * Lanes<S>::kPanel);
        kept += any[j] != 0, to += any[j] ? kRows : 0;
      }
      count[t] = kept;
    }
    return {data, depth, memory, place, count};
  }
};

// sum[i][c] += sum_k factor[k stride + i] panel[place[k] + c lanes] for k < count, in order.
template <int kRows, typename V, int kVectors>
HOST_DEVICE void add_columns(V (&sum)[kRows][kVectors], const float* factor, int64_t stride, const uint32_t* place,
                             uint32_t count, const float* panel) {
  constexpr int kLanes = sizeof(V) / sizeof(float);
  for (const uint32_t* const end = place + count; place < end; ++place, factor += stride) {
    V x[kVectors];
    UNROLL for (int c = 0; c < kVectors; ++c) x[c] = load<V>(panel + *place + c * kLanes);
    UNROLL for (int i = 0; i < kRows; ++i) UNROLL for (int c = 0; c < kVectors; ++c) sum[i][c] += factor[i] * x[c];
  }
}

// sink(i, c, sum_j left[i][j] panel[j][c]) for i < rows and the first kVectors vectors of a panel's columns.
template <typename S, int kVectors, typename Sink>
HOST_DEVICE void panel_tiles(const Nonzero<S>& left, int64_t, int64_t depth, const float* panel, const Sink& sink,
                             int64_t rows) {
  using V = typename Lanes<S>::V;
  constexpr int kRows = S::kRows, kLanes = Lanes<S>::kVector;
  for (int64_t t = 0; t * kRows < rows; ++t) {
    V sum[kRows][kVectors] = {};
    add_columns(sum, left.value + t * depth * kRows, kRows, left.place + t * depth, left.count[t], panel);
    UNROLL for (int i = 0; i < kRows; ++i) if (t * kRows + i < rows) UNROLL for (int c = 0; c < kVectors; ++c)
        sink(t * kRows + i, c * kLanes, sum[i][c]);
  }
}

}  // namespace pyslsac
