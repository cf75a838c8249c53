// SIMD levels, vectors, and rows of a matrix that may lie anywhere: what register tiles are made of.
#pragma once

#include <cstring>
#include <type_traits>

#include "../platform.h"

namespace pyslsac {

// Vectors of kBytes, kRows rows of two vectors to a tile: all of it in registers.
template <int kVectorBytes, int kTileRows, bool kHasBf16 = false>
struct Simd {
  static constexpr int kBytes = kVectorBytes, kRows = kTileRows, kRounds = kHasBf16;  // to bfloat16, by an instruction
};
using Simd16 = Simd<16, 4>;
using Simd32 = Simd<32, 6>;
using Simd64 = Simd<64, 8>;

// BODY(target, Simd, ...) for every SIMD level: functions of one name, of which the loader picks the widest that runs.
#if SIMD_TARGETS
#define SIMD_LEVELS(BODY, ...)                                         \
  BODY(__attribute__((target("default"))), Simd16, __VA_ARGS__)        \
  BODY(__attribute__((target("arch=x86-64-v3"))), Simd32, __VA_ARGS__) \
  BODY(__attribute__((target("arch=x86-64-v4"))), Simd64, __VA_ARGS__)
#else
#define SIMD_LEVELS(BODY, ...) BODY(, Simd16, __VA_ARGS__)
#endif

template <typename T, int kBytes>
struct VectorOf {
  typedef T type __attribute__((vector_size(kBytes)));
};

template <typename S>
struct Lanes {
  using V = typename VectorOf<float, S::kBytes>::type;
  static constexpr int64_t kVector = S::kBytes / sizeof(float), kPanel = 2 * kVector;
};

template <typename V, typename T>
HOST_DEVICE V load(const T* from) {
  V v;
  memcpy(&v, from, sizeof v);
  return v;
}
template <typename V, typename T>
HOST_DEVICE void store(T* to, V v) {
  memcpy(to, &v, sizeof v);
}

// The sum of the lanes, half onto half.
template <typename V>
HOST_DEVICE auto total(V x) {
  if constexpr (sizeof(V) / sizeof x[0] == 2) {
    return x[0] + x[1];
  } else {
    using Half = typename VectorOf<std::remove_reference_t<decltype(x[0])>, sizeof(V) / 2>::type;
    Half half[2];
    memcpy(half, &x, sizeof half);
    return total(half[0] + half[1]);
  }
}

// Rows `stride` apart, in order or picked by index.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;
  HOST_DEVICE T* operator[](int64_t i) const { return data + i * stride; }
};
template <typename T>
struct Picked {
  T* data;
  int64_t stride;
  const int32_t* index;
  HOST_DEVICE T* operator[](int64_t i) const { return data + index[i] * stride; }
};

}  // namespace pyslsac
