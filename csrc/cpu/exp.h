// The exponential of vectors of doubles.
#pragma once

#include "simd.h"

namespace pyslsac {

// e^x for x <= 0, below e^-700 as there: 2^n e^r with |r| <= ln 2 / 2, e^r by Taylor's polynomial, whose first missing
// term is below 1e-17. A NaN stays one.
template <typename V>
HOST_DEVICE V exp_of(V x) {
  typedef int64_t Bits __attribute__((vector_size(sizeof(V))));
  constexpr double kRound = 6755399441055744.0;  // 1.5 2^52: what is added to it is rounded to an integer
  const V y = x < -700.0 ? V{} - 700.0 : x, shifted = y * 1.4426950408889634 + kRound, n = shifted - kRound;
  const V r = (y - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  constexpr double kTerms[] = {
      1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720,
      1.0 / 120,       1.0 / 24,       1.0 / 6,       1.0 / 2,      1.0,         1.0};
  V p = V{} + 1.0 / 6227020800;
  UNROLL for (const double term : kTerms) p = p * r + term;
  return x == x ? (V)((Bits)p + ((Bits)shifted << 52)) : x;
}

}  // namespace pyslsac
