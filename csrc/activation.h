// Activations of the hidden layers: value and derivative from one exponential and one division, on host and device,
// without branches, so that loops over them vectorise. Errors stay below a few units in the last place of
// max(1, |value|).
#pragma once

#include "philox.h"

namespace pyslsac {

enum class Activation { relu, silu, gelu, mish, tanh };

struct Activated {
  float value, slope;
};

HOST_DEVICE float within(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

// e^x and e^x - 1 for x in [-87, 88]: with x = n log 2 + r they are 2^n (e^r - 1) + 2^n, less 1 for the latter.
struct Exponential {
  float scale, rest;  // 2^n, e^r - 1
};
HOST_DEVICE Exponential exponential(float x) {
  const float shifted = fma_rn(x, 0x1.715476p+0f, 0x1.8p+23f), n = shifted - 0x1.8p+23f;
  const float r = fma_rn(n, -0x1.7f7d1cp-20f, fma_rn(n, -0x1.62e400p-1f, x));
  const float tail = horner(r, 0x1.6d99bap-10f, 0x1.122880p-7f, 0x1.555486p-5f, 0x1.5554aep-3f, 0.5f);
  return {float_of((bits_of(shifted) + 127) << 23), fma_rn(mul_rn(r, r), tail, r)};
}
HOST_DEVICE float exp_of(float x) {
  const Exponential e = exponential(x);
  return fma_rn(e.scale, e.rest, e.scale);
}
HOST_DEVICE float expm1_of(float x) {
  const Exponential e = exponential(x);
  return fma_rn(e.scale, e.rest, e.scale - 1.0f);
}

template <Activation kind>
HOST_DEVICE Activated activated(float x) {
  if constexpr (kind == Activation::relu) {
    return {x < 0 ? 0.0f : x, x > 0 ? 1.0f : 0.0f};
  } else if constexpr (kind == Activation::silu) {  // x s, s = 1 / (1 + e^-x)
    const float e = exp_of(within(-x, -87.0f, 87.0f)), s = 1.0f / (1.0f + e);
    return {x * s, s * fma_rn(x, e * s, 1.0f)};
  } else if constexpr (kind == Activation::mish) {  // x tanh(log(1 + e^x)): tanh is n / (n + 2), n = e^x (e^x + 2)
    const float near = within(x, -87.0f, 20.0f), e = exp_of(near), n = e * (e + 2.0f), inverse = 1.0f / (n + 2.0f);
    const float t = n * inverse;
    return {x * t, fma_rn(near * (4.0f * inverse), (e + e * e) * inverse, t)};
  } else if constexpr (kind == Activation::tanh) {
    const float n = expm1_of(2.0f * within(x, -10.0f, 10.0f)), t = n / (n + 2.0f);
    return {t, fma_rn(-t, t, 1.0f)};
  } else {  // gelu, x Phi(x): with z = |x| / sqrt(2), erfc(z) e^(z^2) is a polynomial in 1 / (1 + z / 2)
    const float z = 0x1.6a09e6p-1f * (x < 0 ? -x : x), t = 1.0f / fma_rn(0.5f, z, 1.0f), square = z * z;
    const float density = exp_of(-(square < 87.0f ? square : 87.0f));
    const float p = horner(t, -0x1.e3e500p-5f, 0x1.2367dep-2f, -0x1.f2e50cp-2f, 0x1.1cbe38p-2f, -0x1.b4426ap-6f,
                           0x1.9f1a9ep-3f, 0x1.f1e04ep-3f, 0x1.212700p-2f, 0x1.20db42p-2f);
    const float tail = 0.5f * density * t * p, phi = x < 0 ? tail : 1.0f - tail;
    return {x * phi, fma_rn(x * 0x1.988454p-2f, density, phi)};
  }
}

}  // namespace pyslsac
