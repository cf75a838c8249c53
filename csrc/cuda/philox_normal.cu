#include "../launch.cuh"
#include "../philox_normal.h"

namespace pyslsac::cuda {

namespace {

constexpr int kThreads = 256;

// One thread makes one counter block: up to four elements of a run.
__global__ void __launch_bounds__(kThreads) fill(PhiloxNormal args, int64_t blocks) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, run = index / blocks;
  if (run >= args.runs) return;
  const int64_t block = args.first / 4 + index % blocks;
  float normal[4];
  philox_normal4(args.seed[run], args.step[0], args.stream, static_cast<uint32_t>(block), normal);
#pragma unroll
  for (int lane = 0; lane < 4; ++lane) {
    const int64_t element = 4 * block + lane - args.first;
    if (element >= 0 && element < args.elements) args.out[run * args.elements + element] = normal[lane];
  }
}

}  // namespace

void philox_normal(const PhiloxNormal& args, void* stream) {
  const int64_t blocks = (args.first % 4 + args.elements + 3) / 4;
  launch_kernel(fill, (args.runs * blocks + kThreads - 1) / kThreads, kThreads, 0, stream, args, blocks);
}

}  // namespace pyslsac::cuda
