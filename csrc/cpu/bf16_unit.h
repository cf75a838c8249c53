// What the processor has to multiply bfloat16 with.
#pragma once

#include <optional>

#include "amx_tiles.h"
#include "simd.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    (!defined(PYSLSAC_ONE_CLONE) || defined(__AVX512BF16__))
#define BF16_INSTRUCTION
#endif

namespace pyslsac {

// Whether it has the instructions of AVX512-BF16.
inline bool bf16_instruction() {
#ifdef BF16_INSTRUCTION
  static const bool found = __builtin_cpu_supports("avx512bf16");
  return found;
#else
  return false;
#endif
}

// call(S), or for bfloat16 the level beside it that rounds by an instruction.
template <typename S, bool kBf16 = true, typename Call>
HOST_DEVICE void at_level(const Call& call) {
#ifdef BF16_INSTRUCTION
  if constexpr (kBf16 && S::kBytes == 64)
    if (bf16_instruction()) return call(Simd<S::kBytes, S::kRows, true>{});
#endif
  call(S{});
}

// Whether the processor multiplies bfloat16.
inline bool bf16_is_fast() {
  if (bf16_instruction()) return true;
#ifdef MATRIX_TILES
  return AmxTiles::available();
#else
  return false;
#endif
}

// What products of bfloat16 need set up: as much as a small one costs, so for many together.
struct Bf16Unit {
#ifdef MATRIX_TILES
  std::optional<AmxTiles> tiles;
  Bf16Unit() {
    if (AmxTiles::available()) tiles.emplace();
  }
#endif
};

}  // namespace pyslsac
