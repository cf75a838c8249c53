#include "../philox_normal.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define LANES
#include <immintrin.h>
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // in GCC 12's own intrinsics
#endif

namespace pyslsac {

namespace {

constexpr int64_t kTile = 64;  // blocks: 1 KB of normals

namespace plain {
void fill_tile(float* out, int64_t blocks, uint32_t block, uint64_t seed, uint64_t step, uint32_t stream) {
  for (int64_t i = 0; i < blocks; ++i)
    philox_normal4(seed, step, stream, block + static_cast<uint32_t>(i), out + 4 * i);
}
}  // namespace plain

#ifdef LANES
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
using Lanes = __m256i;
constexpr int kLanes = 4;
inline Lanes spread(uint64_t value) { return _mm256_set1_epi64x(static_cast<int64_t>(value)); }
inline Lanes ramp(uint32_t first) { return _mm256_add_epi64(spread(first), _mm256_set_epi64x(3, 2, 1, 0)); }
inline Lanes multiply(Lanes a, Lanes b) { return _mm256_mul_epu32(a, b); }
inline Lanes upper(Lanes a) { return _mm256_srli_epi64(a, 32); }
inline Lanes exclusive_or(Lanes a, Lanes b, Lanes c) { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
inline void store(uint32_t* to, Lanes a) {
  const Lanes lower = _mm256_permutevar8x32_epi32(a, _mm256_set_epi32(7, 5, 3, 1, 6, 4, 2, 0));
  _mm_store_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(lower));
}
#include "philox_tile.h"
}  // namespace avx2

#pragma GCC target("arch=x86-64-v4")
namespace avx512 {
using Lanes = __m512i;
constexpr int kLanes = 8;
inline Lanes spread(uint64_t value) { return _mm512_set1_epi64(static_cast<int64_t>(value)); }
inline Lanes ramp(uint32_t first) { return _mm512_add_epi64(spread(first), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0)); }
inline Lanes multiply(Lanes a, Lanes b) { return _mm512_mul_epu32(a, b); }
inline Lanes upper(Lanes a) { return _mm512_srli_epi64(a, 32); }
inline Lanes exclusive_or(Lanes a, Lanes b, Lanes c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
inline void store(uint32_t* to, Lanes a) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi64_epi32(a));
}
#include "philox_tile.h"
}  // namespace avx512
#pragma GCC pop_options
#endif

// The widest that this machine runs; with PYSLSAC_ONE_CLONE the widest that the compiler was told of.
auto* widest() {
#if defined(LANES) && defined(PYSLSAC_ONE_CLONE) && defined(__AVX512VL__)
  return avx512::fill_tile;
#elif defined(LANES) && defined(PYSLSAC_ONE_CLONE) && defined(__AVX2__)
  return avx2::fill_tile;
#elif defined(LANES) && !defined(PYSLSAC_ONE_CLONE)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) return avx512::fill_tile;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::fill_tile;
#endif
  return plain::fill_tile;
}

const auto fill_tile = widest();

}  // namespace

void philox_normal_fill(float* normal, int64_t count, int64_t first, uint64_t seed, uint64_t step, uint32_t stream) {
  alignas(64) float tile[4 * kTile];
  while (count > 0) {
    const int64_t skip = first & 3, blocks = std::min(kTile, (skip + count + 3) / 4);
    const int64_t fresh = std::min(count, 4 * blocks - skip);
    const bool direct = fresh == 4 * blocks;
    fill_tile(direct ? normal : tile, blocks, static_cast<uint32_t>(first >> 2), seed, step, stream);
    if (!direct) std::memcpy(normal, tile + skip, fresh * sizeof(float));
    normal += fresh, first += fresh, count -= fresh;
  }
}

namespace cpu {

void philox_normal(const PhiloxNormal& args, int64_t begin, int64_t end) {
  const uint64_t step = static_cast<uint64_t>(args.step[0]);
  for (int64_t count; begin < end; begin += count) {
    const int64_t run = begin / args.elements, element = begin % args.elements;
    count = std::min(end - begin, args.elements - element);
    philox_normal_fill(args.out + begin, count, args.first + element, args.seed[run], step, args.stream);
  }
}

}  // namespace cpu
}  // namespace pyslsac
