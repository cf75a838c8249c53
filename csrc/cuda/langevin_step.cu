#include "../four.cuh"
#include "../langevin_step.h"
#include "../launch.cuh"
#include "../reduce.cuh"

namespace pyslsac::cuda {

namespace {

constexpr int kThreads = 128;

// One block adds one chunk of one run.
template <typename T>
__global__ void __launch_bounds__(kReduceLanes) sum_chunk(LangevinStep<T> args, int64_t chunks) {
  const int64_t elements = args.batch * args.dim, run = blockIdx.x / chunks, first = blockIdx.x % chunks * kReduceChunk;
  const int64_t count = elements - first < kReduceChunk ? elements - first : kReduceChunk;
  const T sum = block_sum_squares(args.grad + run * elements + first, count);
  if (threadIdx.x == 0) args.chunk_sums[blockIdx.x] = sum;
}

// One thread moves the four elements of one counter block. Samples are short, so each thread adds its samples' norms
// itself, in index order: no barrier, and the bits of the CPU.
template <typename T>
__global__ void __launch_bounds__(kThreads) move(LangevinStep<T> args, int64_t blocks, int64_t chunks) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, run = index / blocks;
  if (run >= args.runs) return;
  const int64_t block = index % blocks, elements = args.batch * args.dim;
  float xi[4];
  philox_normal4(args.seed[run], args.step[0] + args.move, args.stream, static_cast<uint32_t>(block), xi);
  const T step_size = args.step_size[run], noise = sqrt_rn(step_size * args.temperature[run]);
  const T push = T{0.5} * step_size * args.drift_scale[run];
  const bool whole_run = args.limit == GradLimit::cap_run;
  T sum = whole_run ? static_cast<T>(sum_chunks(args.chunk_sums + run * chunks, chunks)) : T{0};
  const int64_t first = 4 * block, begin = run * elements;
  const int count = elements - first < 4 ? static_cast<int>(elements - first) : 4;
  T action[4], grad[4];
  load_four(args.action, begin + first, 0, count, action);
  load_four(args.grad, begin + first, 0, count, grad);
  const bool own = !whole_run && args.limit != GradLimit::none;
  int64_t sample = first / args.dim, coordinate = first % args.dim;
  UNROLL for (int lane = 0; lane < 4; ++lane, ++coordinate) {
    if (lane >= count) break;
    if (coordinate == args.dim) coordinate = 0, ++sample;
    if (own && (lane == 0 || coordinate == 0))
      sum = sample_sum_squares(args.grad + begin + sample * args.dim, args.dim);
    const T scale = push * limit_factor(args.limit, args.grad_cap, sum);
    action[lane] = langevin_move(action[lane], grad[lane], static_cast<T>(xi[lane]), scale, noise, args.low, args.high);
  }
  store_four(args.action, begin + first, 0, count, action);
}

}  // namespace

template <typename T>
void sum_grad_squares(const LangevinStep<T>& args, void* stream) {
  const int64_t chunks = reduce_chunks(args.batch * args.dim);
  launch_kernel(sum_chunk<T>, args.runs * chunks, kReduceLanes, 0, stream, args, chunks);
}

template <typename T>
void langevin_step(const LangevinStep<T>& args, void* stream) {
  const int64_t elements = args.batch * args.dim, blocks = (elements + 3) / 4;
  const int64_t grid = (args.runs * blocks + kThreads - 1) / kThreads;
  launch_kernel(move<T>, grid, kThreads, 0, stream, args, blocks, reduce_chunks(elements));
}

template void sum_grad_squares(const LangevinStep<float>&, void*);
template void sum_grad_squares(const LangevinStep<double>&, void*);
template void langevin_step(const LangevinStep<float>&, void*);
template void langevin_step(const LangevinStep<double>&, void*);

}  // namespace pyslsac::cuda
