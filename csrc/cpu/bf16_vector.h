// Vectors of float32 rounded to bfloat16, in the two layouts of a product's factors.
#pragma once

#include "../bfloat16.h"
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
template <typename V>
HOST_DEVICE void store_row(Bfloat16* to, V x) {
  store(to, __builtin_convertvector(rounded_bits(x) >> 16, LanesOf<V, uint16_t>));
}

// The pairs (x, y) of the lanes: a panel's two rows.
template <typename V>
HOST_DEVICE void store_pairs(uint32_t* to, V x, V y) {
  store(to, (rounded_bits(x) >> 16) | (rounded_bits(y) & 0xFFFF0000));
}

}  // namespace pyslsac
