// C [M, N] = A [M, K] B [K, N] in bfloat16, float32 sums: a small kernel that uses every wrapper of csrc/mma.cuh, for
// the emulation's own tests. A block of four warps makes 64 x 32 of C in steps of 32 along K, two steps on their way.
#include "../../csrc/bfloat16.h"
#include "../../csrc/launch.cuh"
#include "../../csrc/mma.cuh"

namespace pyslsac {

struct TileProduct {
  const Bfloat16 *a, *b;  // K and N are multiples of 8
  float* c;
  int m, n, k;
};

namespace {

constexpr int kThreads = 128, kRows = 64, kColumns = 32, kDepth = 32, kStages = 2;
constexpr int kPad = 8;  // keeps the rows of a matrix in different banks

struct Tiles {
  Bfloat16 a[kStages][kRows][kDepth + kPad], b[kStages][kDepth][kColumns + kPad];
};

// The step's tiles, zero beyond the edges, on their way into `stage`.
__device__ void fetch(const TileProduct& args, Tiles* tiles, int stage, int k0) {
  const int row0 = blockIdx.x * kRows, column0 = blockIdx.y * kColumns;
  for (int i = threadIdx.x; i < kRows * kDepth / 8; i += kThreads) {
    const int row = i / (kDepth / 8), k = i % (kDepth / 8) * 8;
    const bool there = row0 + row < args.m && k0 + k < args.k;
    copy_async(&tiles->a[stage][row][k], args.a + (there ? (row0 + row) * args.k + k0 + k : 0), there ? 16 : 0);
  }
  for (int i = threadIdx.x; i < kDepth * kColumns / 8; i += kThreads) {
    const int k = i / (kColumns / 8), column = i % (kColumns / 8) * 8;
    const bool there = k0 + k < args.k && column0 + column < args.n;
    copy_async(&tiles->b[stage][k][column], args.b + (there ? (k0 + k) * args.n + column0 + column : 0),
               there ? 16 : 0);
  }
  copy_async_commit();
}

__global__ void __launch_bounds__(kThreads) tile_product(TileProduct args) {
  Tiles* tiles = dynamic_shared<Tiles>();
  const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16;
  float sum[kColumns / 8][4]{};
  fetch(args, tiles, 0, 0);
  for (int k0 = 0, stage = 0; k0 < args.k; k0 += kDepth, stage ^= 1) {
    fetch(args, tiles, stage ^ 1, k0 + kDepth);
    copy_async_wait<1>();
    __syncthreads();
    for (int k = 0; k < kDepth; k += 16) {
      uint32_t a[4];
      load_matrix(a, &tiles->a[stage][row + lane % 16][k + lane / 16 * 8]);
      for (int column = 0; column < kColumns; column += 16) {
        uint32_t b[4];
        load_matrix_transposed(b, &tiles->b[stage][k + lane % 16][column + lane / 16 * 8]);
        mma_bf16(sum[column / 8], a, b);
        mma_bf16(sum[column / 8 + 1], a, b + 2);
      }
    }
    __syncthreads();
  }
  copy_async_wait<0>();
  for (int i = 0; i < kColumns / 8 * 4; ++i) {
    const int to_row = blockIdx.x * kRows + row + lane / 4 + i / 2 % 2 * 8;
    const int to_column = blockIdx.y * kColumns + i / 4 * 8 + lane % 4 * 2 + i % 2;
    if (to_row < args.m && to_column < args.n) args.c[to_row * args.n + to_column] = sum[i / 4][i % 4];
  }
}

}  // namespace

void start_tile_product(const TileProduct& args, void* stream) {
  const dim3 grid((args.m + kRows - 1) / kRows, (args.n + kColumns - 1) / kColumns);
  launch_kernel(tile_product, grid, kThreads, sizeof(Tiles), stream, args);
}

}  // namespace pyslsac
