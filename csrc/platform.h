// What host and device code share: exact arithmetic, SIMD clones, values that come by value or per run.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define HOST_DEVICE __host__ __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#else
#define HOST_DEVICE inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#endif

// A loop marked SIMD_CLONES is compiled for plain x86-64, AVX2 and AVX512; the loader picks one. The clones differ in width
// only: every operation is IEEE-exact and -ffp-contract=off keeps the compiler from fusing any, so the bits are the same.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__) && \
    !defined(PYSLSAC_ONE_CLONE)
#define SIMD_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define SIMD_CLONES
#endif

namespace pyslsac {

// Correctly rounded a b + c, a b and sqrt(a), which no compiler may fuse with what stands beside them.
HOST_DEVICE float fma_rn(float a, float b, float c) {
#ifdef __CUDA_ARCH__
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

HOST_DEVICE double fma_rn(double a, double b, double c) {
#ifdef __CUDA_ARCH__
  return __fma_rn(a, b, c);
#else
  return __builtin_fma(a, b, c);
#endif
}

HOST_DEVICE float mul_rn(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

HOST_DEVICE double mul_rn(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

HOST_DEVICE float sqrt_rn(float a) {
#ifdef __CUDA_ARCH__
  return __fsqrt_rn(a);
#else
  return __builtin_sqrtf(a);
#endif
}

HOST_DEVICE double sqrt_rn(double a) {
#ifdef __CUDA_ARCH__
  return __dsqrt_rn(a);
#else
  return __builtin_sqrt(a);
#endif
}

// One value for all runs (stride 0) or one per run (stride 1): read where the kernel runs, or held by value when data is null.
template <typename T>
struct PerRun {
  const T* data;
  int64_t stride;
  T value;
  HOST_DEVICE T operator[](int64_t run) const { return data ? data[run * stride] : value; }
};

}  // namespace pyslsac
