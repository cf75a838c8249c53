// What the processor has to multiply bfloat16 with.
#pragma once

#include <optional>

#include "amx_tiles.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    (!defined(PYSLSAC_ONE_CLONE) || defined(__AVX512BF16__))
#define BF16_INSTRUCTION
#endif

namespace pyslsac {

// Whether the processor multiplies bfloat16.
inline bool bf16_is_fast() {
#ifdef BF16_INSTRUCTION
  static const bool found = __builtin_cpu_supports("avx512bf16");
  if (found) return true;
#endif
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
