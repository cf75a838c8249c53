// Gaussian noise as a pure function of (seed, step, stream, element): Philox4x32-10 (Salmon et al., SC 2011), then
// Box-Muller from IEEE-exact operations only, so that every device, SIMD width and thread count sees the same bits.
#pragma once

#include "platform.h"

namespace pyslsac {

constexpr int64_t kPhiloxElements = int64_t{1} << 34;  // of one (seed, step, stream): 2^32 blocks of four

// Four random words; key = seed, counter = (block, step low, step high, stream).
HOST_DEVICE void philox_words(uint64_t seed, uint64_t step, uint32_t stream, uint32_t block, uint32_t word[4]) {
  uint32_t x = block, y = static_cast<uint32_t>(step), z = static_cast<uint32_t>(step >> 32), w = stream;
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  UNROLL
  for (int round = 0; round < 10; ++round) {
    const uint64_t p = uint64_t{0xD2511F53} * x, q = uint64_t{0xCD9E8D57} * z;
    x = static_cast<uint32_t>(q >> 32) ^ y ^ key0;
    z = static_cast<uint32_t>(p >> 32) ^ w ^ key1;
    y = static_cast<uint32_t>(q);
    w = static_cast<uint32_t>(p);
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  word[0] = x, word[1] = y, word[2] = z, word[3] = w;
}

// The polynomial in x with coefficients p, next, rest, highest power first.
HOST_DEVICE float horner(float, float p) { return p; }
template <typename... Rest>
HOST_DEVICE float horner(float x, float p, float next, Rest... rest) {
  return horner(x, fma_rn(p, x, next), rest...);
}

// log of x = m 2^e > 0, not subnormal, m in [sqrt(1/2), sqrt(2)), as e log 2 + f + f^2 p(f), f = m - 1.
HOST_DEVICE float log_of(float x) {
  const uint32_t shifted = bits_of(x) + (0x3F800000 - 0x3F3504F3);
  const float e = static_cast<float>(static_cast<int32_t>(shifted >> 23) - 127);
  const float f = float_of((shifted & 0x007FFFFF) + 0x3F3504F3) - 1.0f;
  const float p = horner(f, -0x1.38c9dep-4f, 0x1.055ec6p-3f, -0x1.0d8242p-3f, 0x1.22d92ep-3f, -0x1.54728ap-3f,
                         0x1.99a01cp-3f, -0x1.000226p-2f, 0x1.555554p-2f, -0.5f);
  return fma_rn(e, 0x1.62e430p-1f, fma_rn(mul_rn(f, f), p, f));
}
// The same of u = (2 k + 1) 2^-24, k < 2^23.
HOST_DEVICE float log_uniform(uint32_t k) {
  return log_of(mul_rn(static_cast<float>(static_cast<int32_t>(2 * k + 1)), 0x1p-24f));
}

// cos and sin of 2 pi k 2^-24, k < 2^24: polynomials in v, the distance to the nearest quarter turn in quarter turns.
HOST_DEVICE void cos_sin_turn(uint32_t k, float* cosine, float* sine) {
  const uint32_t quarter = (k + (1u << 21)) >> 22;
  const float v = mul_rn(static_cast<float>(static_cast<int32_t>(k - (quarter << 22))), 0x1p-22f), v2 = mul_rn(v, v);
  const float s = mul_rn(horner(v2, -0x1.2a7638p-8f, 0x1.46496cp-4f, -0x1.4abb68p-1f, 0x1.921fb4p+0f), v);
  const float c = horner(v2, 0x1.d47d5ep-11f, -0x1.55b146p-6f, 0x1.03c1aep-2f, -0x1.3bd3ccp+0f, 1.0f);
  const float a = quarter & 1 ? s : c, b = quarter & 1 ? c : s;
  *cosine = (quarter + 1) & 2 ? -a : a;
  *sine = quarter & 2 ? -b : b;
}

// Two standard normals from two words: radius sqrt(-2 log((x >> 9) + 1/2) 2^-23), angle (y >> 8) 2^-24 of a turn.
HOST_DEVICE void box_muller(uint32_t x, uint32_t y, float* first, float* second) {
  const float radius = sqrt_rn(mul_rn(-2.0f, log_uniform(x >> 9)));
  float cosine, sine;
  cos_sin_turn(y >> 8, &cosine, &sine);
  *first = mul_rn(radius, cosine);
  *second = mul_rn(radius, sine);
}

// The standard normals of elements 4 block .. 4 block + 3.
HOST_DEVICE void philox_normal4(uint64_t seed, uint64_t step, uint32_t stream, uint32_t block, float normal[4]) {
  uint32_t word[4];
  philox_words(seed, step, stream, block, word);
  box_muller(word[0], word[1], &normal[0], &normal[1]);
  box_muller(word[2], word[3], &normal[2], &normal[3]);
}

// The same on the host, fast, for elements first .. first + count - 1 (csrc/cpu/philox_normal.cpp).
void philox_normal_fill(float* normal, int64_t count, int64_t first, uint64_t seed, uint64_t step, uint32_t stream);

}  // namespace pyslsac
