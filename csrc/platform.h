// What host and device code share: exact arithmetic, SIMD clones, values that come by value or per run.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define HOST_DEVICE __host__ __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#else
#define HOST_DEVICE inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#endif

// A loop marked SIMD_CLONES is compiled for plain x86-64, AVX2 and AVX512; the loader picks one. The clones differ in
// width only: every operation is IEEE-exact and -ffp-contract=off keeps the compiler from fusing any, so the bits are
// the same. SIMD_TARGETS: may a function have a body of its own for each (csrc/cpu/simd.h)?
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__CUDACC__) && !defined(PYSLSAC_ONE_CLONE)
#define SIMD_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#define SIMD_TARGETS 1
#else
#define SIMD_CLONES
#define SIMD_TARGETS 0
#endif

namespace pyslsac {

// Correctly rounded a b + c, a b and sqrt(a), which no compiler may fuse with what stands beside them.
#ifdef __CUDA_ARCH__
HOST_DEVICE float fma_rn(float a, float b, float c) { return __fmaf_rn(a, b, c); }
HOST_DEVICE double fma_rn(double a, double b, double c) { return __fma_rn(a, b, c); }
HOST_DEVICE float mul_rn(float a, float b) { return __fmul_rn(a, b); }
HOST_DEVICE double mul_rn(double a, double b) { return __dmul_rn(a, b); }
HOST_DEVICE float sqrt_rn(float a) { return __fsqrt_rn(a); }
HOST_DEVICE double sqrt_rn(double a) { return __dsqrt_rn(a); }
#else
HOST_DEVICE float fma_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
HOST_DEVICE double fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
HOST_DEVICE float mul_rn(float a, float b) { return a * b; }
HOST_DEVICE double mul_rn(double a, double b) { return a * b; }
HOST_DEVICE float sqrt_rn(float a) { return __builtin_sqrtf(a); }
HOST_DEVICE double sqrt_rn(double a) { return __builtin_sqrt(a); }
#endif

HOST_DEVICE uint32_t bits_of(float real) {
  uint32_t bits;
  memcpy(&bits, &real, sizeof bits);
  return bits;
}

HOST_DEVICE float float_of(uint32_t bits) {
  float real;
  memcpy(&real, &bits, sizeof real);
  return real;
}

// One value for all runs (stride 0) or one per run (stride 1): read where the kernel runs, or held by value when data
// is null.
template <typename T>
struct PerRun {
  const T* data;
  int64_t stride;
  T value;
  HOST_DEVICE T operator[](int64_t run) const { return data ? data[run * stride] : value; }
};

}  // namespace pyslsac
