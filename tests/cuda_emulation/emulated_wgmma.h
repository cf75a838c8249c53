// csrc/wgmma.cuh for the emulation: a warp's share of a product, 16 of the 64 rows, in the order of k. Each lane reads
// what it needs, so that races show; products are done at once.
#pragma once

#include "device.h"

namespace pyslsac {

template <bool kRowsAreK>
UNSEEN inline float emulated_wgmma_dot(const Bfloat16* a, int a_row, int k, const Bfloat16* b, int rows, int n,
                                       float sum, const void* code) {
  for (int i = k; i < k + 16; ++i) {
    const Bfloat16 *x = a + in_panels(64, a_row, i), *y = b + in_panels(rows, kRowsAreK ? i : n, kRowsAreK ? n : i);
    emulation::access(x, 2, emulation::Access::read, code);
    emulation::access(y, 2, emulation::Access::read, code);
    sum += widen(*x) * widen(*y);
  }
  return sum;
}

#define PRODUCT(name, rows_are_k)                                                                                   \
  template <int N>                                                                                                  \
  NOINLINE UNSEEN void name(float(&d)[N / 8][4], const Bfloat16* a, int k, const Bfloat16* b, int rows, int n) {    \
    const int lane = emulation::running() % 32, warp = emulation::running() % 128 / 32;                             \
    for (int j = 0; j < N / 8; ++j)                                                                                 \
      for (int i = 0; i < 4; ++i)                                                                                   \
        d[j][i] =                                                                                                   \
            emulated_wgmma_dot<rows_are_k>(a, 16 * warp + lane / 4 + 8 * (i / 2), k, b, rows,                       \
                                           n + 8 * j + lane % 4 * 2 + i % 2, d[j][i], __builtin_return_address(0)); \
  }
PRODUCT(wgmma_forward, true)
PRODUCT(wgmma_backward, false)

template <int M>
void wgmma_begin(float (&)[M][4]) {}
template <int M>
void wgmma_end(float (&)[M][4]) {}
inline void show_to_wgmma() {}

}  // namespace pyslsac
