#include "../launch.cuh"
#include "../philox_integers.h"

namespace pyslsac::cuda {

namespace {

constexpr int kThreads = 128;

// One thread makes one counter block: up to two elements of a run.
__global__ void __launch_bounds__(kThreads) fill(PhiloxIntegers args, int64_t blocks) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, run = index / blocks;
  if (run >= args.runs) return;
  const int64_t element = 2 * (index % blocks);
  const uint64_t high = static_cast<uint64_t>(args.high[0]);
  uint32_t word[4];
  philox_words(args.seed[run], args.step[0], args.stream, static_cast<uint32_t>(element / 2), word);
  int64_t* out = args.out + run * args.elements + element;
  out[0] = scaled_word(word[0], word[1], high);
  if (element + 1 < args.elements) out[1] = scaled_word(word[2], word[3], high);
}

}  // namespace

void philox_integers(const PhiloxIntegers& args, void* stream) {
  const int64_t blocks = (args.elements + 1) / 2;
  launch_kernel(fill, (args.runs * blocks + kThreads - 1) / kThreads, kThreads, 0, stream, args, blocks);
}

}  // namespace pyslsac::cuda
