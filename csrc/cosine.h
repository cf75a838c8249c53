// cos(pi i x), i = 0, 1, ..., by which an implicit quantile network embeds a fraction x.
#pragma once

#include <type_traits>

#include "platform.h"

namespace pyslsac {

// x i + y, rounded once where the processor can; one of x and i may be a vector of T.
template <typename T, typename X, typename I, typename V>
HOST_DEVICE V fused(X x, I i, V y) {
  if constexpr (std::is_same_v<V, T>)
    return fma_rn(x, i, y);
  else
    return x * i + y;
}

// cos(pi i x) = 1 - 2 s^2 with s = sin(pi v / 2), v in [-1, 1] being i x less whole turns. Taylor's terms for s, of
// which float32 takes the first seven: what is missing is below an ulp.
template <typename T, typename X, typename I>
HOST_DEVICE auto cosine(X x, I i) {
  constexpr T kRound = sizeof(T) == 4 ? 0x1.8p+23 : 0x1.8p+52;  // what is added to it is rounded to an integer
  constexpr T kTerms[] = {2.571422892860472e-16, -4.377065467313739e-14, 6.066935731106192e-12,  -6.688035109811464e-10,
                          5.692172921967924e-08, -3.598843235212084e-06, 1.6044118478735975e-04, -4.681754135318687e-03,
                          7.969262624616703e-02, -6.459640975062462e-01, 1.5707963267948966};
  const auto half = (x * (i * T(0.5)) + kRound) - kRound, whole = half + half;
  const auto v = fused<T>(x, i, -whole), square = v * v;
  auto s = square * T(0) + kTerms[sizeof(T) == 4 ? 4 : 0];
  UNROLL for (int k = sizeof(T) == 4 ? 5 : 1; k < 11; ++k) s = s * square + kTerms[k];
  s *= v;
  return T(1) - T(2) * s * s;
}

}  // namespace pyslsac
