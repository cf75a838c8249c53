// Products as in panel.h whose factors are rounded to bfloat16: of bfloat16 where the processor multiplies it, of the
// rounded numbers in float32 elsewhere.
#pragma once

#include "bf16_factors.h"
#include "bf16_product.h"
#include "panel.h"

namespace pyslsac {

// sink(i, column + c, .) of the left factor and the panel, for the panel's first `width` columns.
template <typename S, typename Sink>
HOST_DEVICE void bf16_panel(Bf16Unit& unit, const Bf16Memory& memory, int64_t depth, const Sink& sink, int64_t rows,
                            int64_t column, int64_t width) {
  using V = typename Lanes<S>::V;
  for (int64_t first = 0; first < rows; first += kSumRows) {
    const int64_t count = std::min(kSumRows, rows - first);
    bf16_product(unit, LeftFactor::in_blocks(memory.left + first * depth, depth), memory.panel, depth, memory.sum,
                 kTileSide, whole_tiles(count));
    for (int64_t i = 0; i < count; ++i) {
      const float* sum = memory.sum + i * kTileSide;
      if (width == kTileSide)
        UNROLL for (int64_t c = 0; c < kTileSide; c += Lanes<S>::kVector) sink(first + i, column + c, load<V>(sum + c));
      else
        for (int64_t c = 0; c < width; ++c) sink(first + i, column + c, sum[c]);
    }
  }
}

// sink(i, c, sum_j left(i, j) right[j][c]) for i < rows, c < columns, where left(i, j) is left[i stride + j step] and
// one of these is 1; `right` is [depth, columns], rows `right_stride` apart. `room` is Bf16Memory::size, `panel` as
// there.
template <typename S, typename Sink>
HOST_DEVICE void bf16_by_columns(const float* left, int64_t stride, int64_t step, int64_t depth, const float* right,
                                 int64_t right_stride, float* room, float* panel, const Sink& sink, int64_t rows,
                                 int64_t columns) {
  const Bf16Memory memory(room, rows, depth);
  const int64_t whole = whole_tiles(depth);
  if (!bf16_is_fast()) {
    float *const x = memory.rounded, *const y = x + rows * depth;
    round_rows(right, right_stride, depth, columns, y);
    if (step == 1) {
      round_rows(left, stride, rows, depth, x);
      by_columns<S>(Rows<const float>{x, depth}, 1, depth, y, columns, panel, sink, rows, columns);
    } else {
      round_rows(left, step, depth, rows, x);
      by_columns<S>(Rows<const float>{x, 1}, rows, depth, y, columns, panel, sink, rows, columns);
    }
    return;
  }
  narrow_left<S>(left, stride, step, rows, depth, memory.left, memory.pairs);
  Bf16Unit unit;
  for (int64_t c = 0; c < columns; c += kTileSide) {
    const int64_t width = std::min(kTileSide, columns - c);
    for (int64_t j = 0; j < whole; j += 2) {
      const float* const row = right + j * right_stride + c;
      narrow_pairs<S>(row, j + 1 < depth ? row + right_stride : nullptr, j < depth ? width : 0,
                      reinterpret_cast<uint32_t*>(memory.panel) + j / 2 * kTileSide, kTileSide);
    }
    bf16_panel<S>(unit, memory, whole, sink, rows, c, width);
  }
}

// The same for left [rows, depth] and the transpose of right [columns, depth].
template <typename S, typename Sink>
HOST_DEVICE void bf16_by_rows(const float* left, int64_t depth, const float* right, float* room, float* panel,
                              const Sink& sink, int64_t rows, int64_t columns) {
  const Bf16Memory memory(room, rows, depth);
  const int64_t whole = whole_tiles(depth);
  if (!bf16_is_fast()) {
    float *const x = memory.rounded, *const y = x + rows * depth;
    round_rows(left, depth, rows, depth, x), round_rows(right, depth, columns, depth, y);
    return by_rows<S>(Rows<const float>{x, depth}, depth, y, panel, sink, rows, columns);
  }
  narrow_left<S>(left, depth, 1, rows, depth, memory.left, memory.pairs);
  Bf16Unit unit;
  Bfloat16* const row = reinterpret_cast<Bfloat16*>(memory.pairs);
  for (int64_t c = 0; c < columns; c += kTileSide) {
    const int64_t width = std::min(kTileSide, columns - c);
    for (int64_t i = 0; i < kTileSide; ++i)
      narrow_row<S>(right + (c + i) * depth, i < width ? depth : 0, row + i * whole, whole);
    transpose(reinterpret_cast<const float*>(row), kTileSide, whole / 2, reinterpret_cast<float*>(memory.panel),
              kTileSide);
    bf16_panel<S>(unit, memory, whole, sink, rows, c, width);
  }
}

}  // namespace pyslsac
