// Factors of a product rounded to bfloat16, and room for them.
#pragma once

#include <algorithm>

#include "bf16_tiles.h"
#include "bf16_vector.h"
#include "four.h"

namespace pyslsac {

constexpr int64_t kSumRows = 2 * kTileSide;  // whose sums lie aside together

HOST_DEVICE int64_t whole_tiles(int64_t count) { return (count + kTileSide - 1) / kTileSide * kTileSide; }

// to[c] = from[c] for c < count, then zeros up to `whole`.
template <typename S>
HOST_DEVICE void narrow_row(const float* __restrict from, int64_t count, Bfloat16* __restrict to, int64_t whole) {
  using L = Lanes<S>;
  int64_t c = 0;
  for (; c + L::kVector <= count; c += L::kVector) store_row<S>(to + c, load<typename L::V>(from + c));
  for (; c < count; ++c) to[c] = narrow<Bfloat16>(from[c]);
  std::fill(to + count, to + whole, Bfloat16{});
}

// The pairs (x[c], y[c]) for c < count, then zeros; without y, pairs with zero.
template <typename S>
HOST_DEVICE void narrow_pairs(const float* __restrict x, const float* __restrict y, int64_t count,
                              uint32_t* __restrict to, int64_t whole) {
  using L = Lanes<S>;
  int64_t c = 0;
  for (; y && c + L::kVector <= count; c += L::kVector)
    store_pairs<S>(to + c, load<typename L::V>(x + c), load<typename L::V>(y + c));
  for (; c < count; ++c) to[c] = narrow<Bfloat16>(x[c]).bits | (y ? narrow<Bfloat16>(y[c]).bits : 0u) << 16;
  std::fill(to + count, to + whole, 0u);
}

HOST_DEVICE void round_rows(const float* from, int64_t stride, int64_t rows, int64_t columns, float* __restrict to) {
  for (int64_t i = 0; i < rows; ++i, from += stride, to += columns)
    for (int64_t c = 0; c < columns; ++c) to[c] = widen(narrow<Bfloat16>(from[c]));
}

// Room for the factors and sums of one product.
struct Bf16Memory {
  Bfloat16 *left, *panel;  // [rows, depth], and a panel [depth, kTileSide] or its rows
  uint32_t* pairs;         // of the left factor before its axes are swapped, or of a panel before
  float *sum, *rounded;    // [kSumRows, kTileSide]; both factors where the processor multiplies no bfloat16

  static int64_t size(int64_t rows, int64_t depth, int64_t columns) {
    const int64_t r = whole_tiles(rows), d = whole_tiles(depth), c = whole_tiles(columns);
    return bf16_is_fast() ? (r * d + d * kTileSide) / 2 + d / 2 * std::max(r, kTileSide) + kSumRows * kTileSide + 64
                          : (r + c) * d;
  }
  Bf16Memory(float* data, int64_t rows, int64_t depth) {
    const int64_t r = whole_tiles(rows), d = whole_tiles(depth);
    rounded = data;
    sum = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(data) + 63) / 64 * 64);
    panel = reinterpret_cast<Bfloat16*>(sum + kSumRows * kTileSide), left = panel + d * kTileSide;
    pairs = reinterpret_cast<uint32_t*>(left + r * d);
  }
};

// The left factor [rows, depth], whose entry (i, j) is left[i stride + j step] and one of whose strides is 1, narrowed
// `to` whole tiles in blocks; `pairs` is room for as many numbers.
template <typename S>
HOST_DEVICE void narrow_left(const float* left, int64_t stride, int64_t step, int64_t rows, int64_t depth, Bfloat16* to,
                             uint32_t* pairs) {
  const int64_t whole = whole_tiles(depth);
  if (step == 1) {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < whole; j += kTileSide)
        narrow_row<S>(left + i * stride + j, std::min(kTileSide, depth - j), to + in_block(i, j, whole), kTileSide);
  } else {
    for (int64_t j = 0; j < whole; j += 2)
      narrow_pairs<S>(left + j * step, j + 1 < depth ? left + (j + 1) * step : nullptr, j < depth ? rows : 0,
                      pairs + j / 2 * rows, rows);
    for (int64_t i = 0; i < rows; i += kTileSide)
      for (int64_t j = 0; j < whole; j += kTileSide)
        transpose(reinterpret_cast<const float*>(pairs) + j / 2 * rows + i, kTileSide / 2,
                  std::min(kTileSide, rows - i), reinterpret_cast<float*>(to + in_block(i, j, whole)), kTileSide / 2,
                  rows);
  }
  for (int64_t i = rows; i < whole_tiles(rows); ++i)
    for (int64_t j = 0; j < whole; j += kTileSide) std::fill_n(to + in_block(i, j, whole), kTileSide, Bfloat16{});
}

}  // namespace pyslsac
