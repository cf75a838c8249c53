// The matrix tiles of x86 processors that have them (AMX), as tile_product uses them.
#pragma once

#include <cstdint>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#define MATRIX_TILES
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace pyslsac {

#ifdef MATRIX_TILES
// The registers themselves, set up for as long as this lives. Its asm is for processors where `available` is true.
class AmxTiles {
 public:
  AmxTiles() {
    struct alignas(64) {
      uint8_t palette = 1, start = 0, unused[14] = {};
      uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } setup;
    asm volatile("ldtilecfg %0" ::"m"(setup));
  }
  ~AmxTiles() { asm volatile("tilerelease"); }
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

  template <int t>
  void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(t));
  }
  template <int t>
  void load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(t) : "memory");
  }
  template <int t>
  void store(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(t) : "memory");
  }
  template <int sum, int x, int y>
  void add() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(sum), "i"(x), "i"(y));
  }

  // Whether the processor has them, and Linux lets this process use them.
  static bool available() {
    static const bool found = [] {
      constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kRequest = 0x1023, kTileData = 18;
      unsigned a = 0, b = 0, c = 0, d = 0;
      const bool has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kBf16) && (d & kTile);
      return has && syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
    }();
    return found;
  }
};
#endif

}  // namespace pyslsac
