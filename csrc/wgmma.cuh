// Thin wrappers over the tensor cores' instructions for whole warp groups (sm_90a). A plain C++ compiler takes them
// from the emulation in tests/cuda_emulation/, which knows what they compute but not their descriptors, proxies and
// fences.
//
// A tile of bfloat16 in shared memory stands in panels of 64 columns, [columns / 64][rows][64]: the 16-byte pieces of
// row r are permuted (piece ^ r % 8), and panels begin at multiples of 1,024 bytes. It serves as A [64, k], as B [k, n]
// with k the row, and as B with k the column, without another copy.
//
// Thread t of a group holds rows 16 (t / 32) + lane / 4 and the eighth row after it of the 64, columns 8 j + 2 (lane %
// 4) and the next for each j: d[j] = {first row: 2 columns, second row: 2 columns}.
#pragma once

#include "bfloat16.h"

namespace pyslsac {

constexpr int kPanel = 64;  // columns

// Where (row, column) of a tile with `rows` rows stands.
HOST_DEVICE int in_panels(int rows, int row, int column) {
  return column / kPanel * rows * kPanel + row * kPanel + ((column / 8 % 8 ^ row % 8) * 8 + column % 8);
}

}  // namespace pyslsac

#ifdef __CUDACC__

namespace pyslsac {

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Where a matrix begins, how far its eight-row groups lie apart (1,024 bytes) and, where its columns are the product's,
// its panels; permuted by 128 bytes.
__device__ __forceinline__ uint64_t matrix(const Bfloat16* begin, uint32_t panel_bytes) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(begin));
  return (address & 0x3FFFF) >> 4 | uint64_t{panel_bytes >> 4} << 16 | uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62;
}

template <int N, bool kRowsAreK>
struct Wgmma;
#define FOUR(j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define SIXTEEN(j) FOUR(j), FOUR(j + 1), FOUR(j + 2), FOUR(j + 3)
#define NAMES_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define NAMES_32 NAMES_16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES_64                                                                                                \
  NAMES_32                                                                                                      \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, " \
  "%53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
// `names` of the N / 2 registers of d, `a` and `b` those of the matrices, then the registers.
#define WGMMA(N, kRowsAreK, transposed, names, a_name, b_name, ...)                                          \
  template <>                                                                                                \
  struct Wgmma<N, kRowsAreK> {                                                                               \
    __device__ static __forceinline__ void add(float (&d)[N / 8][4], uint64_t a, uint64_t b) {               \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\nwgmma.mma_async.sync.aligned.m64n" #N            \
                   "k16.f32.bf16.bf16 {" names "}, " a_name ", " b_name ", p, 1, 1, 0, " transposed ";\n}\n" \
                   : __VA_ARGS__                                                                             \
                   : "l"(a), "l"(b));                                                                        \
    }                                                                                                        \
  };
#define BOTH(N, names, a_name, b_name, ...)               \
  WGMMA(N, true, "1", names, a_name, b_name, __VA_ARGS__) \
  WGMMA(N, false, "0", names, a_name, b_name, __VA_ARGS__)
BOTH(32, NAMES_16, "%16", "%17", SIXTEEN(0))
BOTH(64, NAMES_32, "%32", "%33", SIXTEEN(0), SIXTEEN(4))
BOTH(128, NAMES_64, "%64", "%65", SIXTEEN(0), SIXTEEN(4), SIXTEEN(8), SIXTEEN(12))

// d += A[:, k .. k + 15] B[k .. k + 15, n .. n + N - 1], B's rows counting k.
template <int N>
__device__ __forceinline__ void wgmma_forward(float (&d)[N / 8][4], const Bfloat16* a, int k, const Bfloat16* b,
                                              int rows, int n) {
  Wgmma<N, true>::add(d, matrix(a + k / kPanel * 64 * kPanel + k % kPanel, 0),
                      matrix(b + n / kPanel * rows * kPanel + k * kPanel + n % kPanel, rows * kPanel * 2));
}

// d += A[:, k .. k + 15] B[n .. n + N - 1, k .. k + 15]^T, B's columns counting k.
template <int N>
__device__ __forceinline__ void wgmma_backward(float (&d)[N / 8][4], const Bfloat16* a, int k, const Bfloat16* b,
                                               int rows, int n) {
  Wgmma<N, false>::add(d, matrix(a + k / kPanel * 64 * kPanel + k % kPanel, 0),
                       matrix(b + k / kPanel * rows * kPanel + n * kPanel + k % kPanel, 0));
}

// The compiler may neither move what it knows of d across this, nor keep a copy.
template <int M>
__device__ __forceinline__ void pin(float (&d)[M][4]) {
#pragma unroll
  for (int j = 0; j < M; ++j)
#pragma unroll
    for (int i = 0; i < 4; ++i) asm volatile("" : "+f"(d[j][i])::"memory");
}

// Before the first product: what this thread wrote into the registers of d is there.
template <int M>
__device__ __forceinline__ void wgmma_begin(float (&d)[M][4]) {
  pin(d);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

// The products are done.
template <int M>
__device__ __forceinline__ void wgmma_end(float (&d)[M][4]) {
  asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
  pin(d);
}

// Behind stores into shared memory, before the barrier that lets products read them.
__device__ __forceinline__ void show_to_wgmma() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

#else  // what is built for other devices is never launched there

template <int N>
__device__ void wgmma_forward(float (&)[N / 8][4], const Bfloat16*, int, const Bfloat16*, int, int) {}
template <int N>
__device__ void wgmma_backward(float (&)[N / 8][4], const Bfloat16*, int, const Bfloat16*, int, int) {}
template <int M>
__device__ void wgmma_begin(float (&)[M][4]) {}
template <int M>
__device__ void wgmma_end(float (&)[M][4]) {}
__device__ __forceinline__ void show_to_wgmma() {}

#endif

}  // namespace pyslsac

#else
#include <emulated_wgmma.h>
#endif
