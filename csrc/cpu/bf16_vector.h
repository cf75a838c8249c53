// Vectors of float32 rounded to bfloat16, in the two layouts of a product's factors.
#pragma once

#include "../bfloat16.h"
#include "bf16_unit.h"
#include "simd.h"

namespace pyslsac {

template <typename V, typename T>
using LanesOf = typename VectorOf<T, sizeof(V) / sizeof(float) * sizeof(T)>::type;

// x to nearest even, as `narrow` has it, in the upper halves of its lanes.
template <typename V>
HOST_DEVICE LanesOf<V, uint32_t> rounded_bits(V x) {
  const auto bits = load<LanesOf<V, uint32_t>>(&x);
  const auto rounded = bits + 0x7FFF + ((bits >> 16) & 1);
  return x == x ? rounded : LanesOf<V, uint32_t>{} + 0x7FC00000;
}

// The lanes of x beside one another: a row of the left factor.
template <typename S, typename V>
HOST_DEVICE void store_row(Bfloat16* to, V x) {
#ifdef BF16_INSTRUCTION
  if constexpr (S::kRounds) {
    LanesOf<V, uint16_t> rounded;
    asm("vcvtneps2bf16 %1, %0" : "=v"(rounded) : "v"(x));
    return store(to, rounded);
  }
#endif
  store(to, __builtin_convertvector(rounded_bits(x) >> 16, LanesOf<V, uint16_t>));
}

// The pairs (x, y) of the lanes: a panel's two rows.
template <typename S, typename V>
HOST_DEVICE void store_pairs(uint32_t* to, V x, V y) {
#ifdef BF16_INSTRUCTION
  if constexpr (S::kRounds) {
    typename VectorOf<uint16_t, sizeof(V)>::type both;  // x's, then y's
    asm("vcvtne2ps2bf16 %1, %2, %0" : "=v"(both) : "v"(x), "v"(y));
    return store(to, __builtin_shufflevector(both, both, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24,
                                             9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
  }
#endif
  store(to, (rounded_bits(x) >> 16) | (rounded_bits(y) & 0xFFFF0000));
}

}  // namespace pyslsac
