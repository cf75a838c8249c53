// Products of bfloat16 summed in float32, with matrix tiles or the instruction for them where the processor has these.
#pragma once

#include <algorithm>

#include "bf16_tiles.h"
#include "bf16_unit.h"
#include "simd.h"

#ifdef BF16_INSTRUCTION
#include <immintrin.h>
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // in GCC 12's own intrinsics
#endif

namespace pyslsac {

#ifdef BF16_INSTRUCTION
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,avx512bf16")
// Rows past the last repeat it and are dropped.
inline void bf16_product_fast(const LeftFactor& left, const Bfloat16* packed, int64_t depth, float* out,
                              int64_t out_stride, int64_t first, int64_t rows) {
  constexpr int kRows = 8;
  for (; first < rows; first += kRows) {
    const Bfloat16* row[kRows];
    UNROLL for (int i = 0; i < kRows; ++i) row[i] = left.row(first + i < rows ? first + i : rows - 1);
    __m512 sum[kRows][2];
    UNROLL for (int i = 0; i < kRows; ++i) sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    for (int64_t j = 0; j < depth; j += 2) {
      const int64_t at = j / kTileSide * left.step + j % kTileSide;
      const __m512bh x = (__m512bh)_mm512_loadu_si512(packed + 32 * j);
      const __m512bh y = (__m512bh)_mm512_loadu_si512(packed + 32 * j + 32);
      UNROLL for (int i = 0; i < kRows; ++i) {
        int32_t pair;
        memcpy(&pair, row[i] + at, sizeof pair);
        const __m512bh factor = (__m512bh)_mm512_set1_epi32(pair);
        sum[i][0] = _mm512_dpbf16_ps(sum[i][0], factor, x);
        sum[i][1] = _mm512_dpbf16_ps(sum[i][1], factor, y);
      }
    }
    UNROLL for (int i = 0; i < kRows; ++i) {
      if (first + i >= rows) break;
      _mm512_storeu_ps(out + (first + i) * out_stride, sum[i][0]);
      _mm512_storeu_ps(out + (first + i) * out_stride + 16, sum[i][1]);
    }
  }
}
#pragma GCC pop_options
#endif

struct Pair {
  Bfloat16 one, two;
};

// out [rows, 32] = left [rows, depth] times one packed panel; depth is even.
HOST_DEVICE void bf16_product(Bf16Unit& unit, const LeftFactor& left, const Bfloat16* packed, int64_t depth, float* out,
                              int64_t out_stride, int64_t rows) {
  int64_t first = 0;
#ifdef MATRIX_TILES
  if (depth % 32 == 0 && unit.tiles) first = tile_product(*unit.tiles, left, packed, depth, out, out_stride, rows);
#endif
#ifdef BF16_INSTRUCTION
  if (bf16_instruction()) return bf16_product_fast(left, packed, depth, out, out_stride, first, rows);
#endif
  constexpr int64_t kRows = 4;
  for (; first < rows; first += kRows) {
    float sum[kRows][32] = {};
    for (int64_t j = 0; j < depth; j += 2) {
      const auto* const pairs = reinterpret_cast<const Pair*>(packed + 32 * j);
      float x[32], y[32];
      for (int64_t c = 0; c < 32; ++c) x[c] = widen(pairs[c].one), y[c] = widen(pairs[c].two);
      UNROLL for (int64_t i = 0; i < kRows; ++i) {
        const Bfloat16* const factor =
            left.row(std::min(first + i, rows - 1)) + j / kTileSide * left.step + j % kTileSide;
        const float one = widen(factor[0]), two = widen(factor[1]);
        for (int64_t c = 0; c < 32; ++c) sum[i][c] += one * x[c] + two * y[c];
      }
    }
    for (int64_t i = 0; i < std::min(kRows, rows - first); ++i)
      memcpy(out + (first + i) * out_stride, sum[i], sizeof sum[i]);
  }
}

}  // namespace pyslsac
