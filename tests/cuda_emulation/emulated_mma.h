// csrc/mma.cuh for the emulation: what 32 lanes do together, by the layouts written there.
#pragma once

#include "../../csrc/bfloat16.h"
#include "device.h"

namespace emulation {

constexpr unsigned kAllLanes = 0xFFFFFFFF;

struct Load {
  const char* row;
  uint32_t* x;
  const void* code;
};

// Each lane reads its own two neighbours of each matrix: what it gets, it must be allowed to read.
template <bool kTransposed>
UNSEEN void load(const char* what, uint32_t* x, const void* row, Place place, const void* code) {
  Load mine{static_cast<const char*>(row), x, code};
  meet(what, kAllLanes, place, &mine, [](void** lanes) UNSEEN {
    const int first = running() / kWarp * kWarp;
    for (int l = 0; l < kWarp; ++l)
      for (int i = 0; i < 4; ++i) {
        const auto& to = *static_cast<Load*>(lanes[l]);
        uint16_t half[2];
        for (int j = 0; j < 2; ++j) {
          const int r = kTransposed ? l % 4 * 2 + j : l / 4, c = kTransposed ? l / 4 : l % 4 * 2 + j;
          const char* from = static_cast<Load*>(lanes[8 * i + r])->row;
          if (reinterpret_cast<uintptr_t>(from) % 16)
            fail(name(first + 8 * i + r) + " names a row that is not aligned");
          access(from + 2 * c, 2, Access::read, to.code, first + l);
          half[j] = *reinterpret_cast<const uint16_t*>(from + 2 * c);
        }
        to.x[i] = half[0] | uint32_t{half[1]} << 16;
      }
  });
}

struct Product {
  float* c;
  const uint32_t *a, *b;
};

inline UNSEEN float half_of(const uint32_t* x, int i) {
  return pyslsac::widen(pyslsac::Bfloat16{static_cast<uint16_t>(x[i / 2] >> 16 * (i % 2))});
}

// Sums in the order of k. A device's order and rounding are its own: compare with a tolerance.
inline UNSEEN void product(void** lanes) {
  float a[16][16], b[16][8];
  for (int l = 0; l < kWarp; ++l)
    for (int i = 0; i < 8; ++i) {
      const auto& from = *static_cast<Product*>(lanes[l]);
      const int r = l / 4, c = l % 4 * 2 + i % 2;
      a[r + 8 * (i / 2 % 2)][c + 8 * (i / 4)] = half_of(from.a, i);
      if (i < 4) b[c + 8 * (i / 2)][r] = half_of(from.b, i);
    }
  for (int l = 0; l < kWarp; ++l)
    for (int i = 0; i < 4; ++i) {
      float& sum = static_cast<Product*>(lanes[l])->c[i];
      for (int k = 0; k < 16; ++k) sum += a[l / 4 + 8 * (i / 2)][k] * b[k][l % 4 * 2 + i % 2];
    }
}

}  // namespace emulation

namespace pyslsac {

NOINLINE inline void load_matrix(uint32_t (&x)[4], const void* row, HERE) {
  emulation::load<false>("load_matrix", x, row, {file, line}, __builtin_return_address(0));
}
NOINLINE inline void load_matrix_transposed(uint32_t (&x)[4], const void* row, HERE) {
  emulation::load<true>("load_matrix_transposed", x, row, {file, line}, __builtin_return_address(0));
}

inline void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t* b, HERE) {
  emulation::Product mine{c, a, b};
  emulation::meet("mma_bf16", emulation::kAllLanes, {file, line}, &mine, emulation::product);
}

NOINLINE inline void copy_async(void* shared, const void* global, int bytes = 16) {
  emulation::copy_async(shared, global, bytes, __builtin_return_address(0));
}

inline void copy_async_commit() { emulation::copy_async_commit(); }

template <int kPending>
NOINLINE void copy_async_wait(HERE) {
  if (!emulation::removed({file, line})) emulation::copy_async_wait(kPending, __builtin_return_address(0));
}

}  // namespace pyslsac
