#include "../langevin_step.h"

#include <algorithm>
#include <vector>

#include "../reduce.h"

namespace pyslsac::cpu {

namespace {

constexpr int64_t kTileElements = 1024;

SIMD_CLONES double chunk_sum(const float* x, int64_t count) { return sum_squares_chunk(x, count); }
SIMD_CLONES double chunk_sum(const double* x, int64_t count) { return sum_squares_chunk(x, count); }

// Samples `first` .. `first + count - 1` of one run; xi holds their normals.
template <typename T>
inline __attribute__((always_inline)) void move_tile(const LangevinStep<T>& args, int64_t run, int64_t first,
                                                     int64_t count, T run_sum, const float* xi) {
  const T step_size = args.step_size[run], noise = sqrt_rn(step_size * args.temperature[run]);
  const T push = T{0.5} * step_size * args.drift_scale[run], low = args.low, high = args.high;
  const bool own = args.limit == GradLimit::normalize || args.limit == GradLimit::cap_sample;
  const int64_t parts = own ? count : 1, size = own ? args.dim : count * args.dim;  // elements under one factor
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t offset = (run * args.batch + first) * args.dim + part * size;
    const T* grad = args.grad + offset;
    T* action = args.action + offset;
    const float* normal = xi + part * size;
    const T sum = own ? sample_sum_squares(grad, size) : run_sum;
    const T scale = push * limit_factor(args.limit, args.grad_cap, sum);
#pragma GCC ivdep
    for (int64_t i = 0; i < size; ++i)
      action[i] = langevin_move(action[i], grad[i], static_cast<T>(normal[i]), scale, noise, low, high);
  }
}

SIMD_CLONES void move(const LangevinStep<float>& args, int64_t run, int64_t first, int64_t count, float run_sum,
                      const float* xi) {
  move_tile(args, run, first, count, run_sum, xi);
}

SIMD_CLONES void move(const LangevinStep<double>& args, int64_t run, int64_t first, int64_t count, double run_sum,
                      const float* xi) {
  move_tile(args, run, first, count, run_sum, xi);
}

}  // namespace

template <typename T>
void sum_grad_squares(const LangevinStep<T>& args, int64_t begin, int64_t end) {
  const int64_t elements = args.batch * args.dim, chunks = reduce_chunks(elements);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t run = i / chunks, first = i % chunks * kReduceChunk;
    args.chunk_sums[i] = chunk_sum(args.grad + run * elements + first, std::min(kReduceChunk, elements - first));
  }
}

template <typename T>
void langevin_step(const LangevinStep<T>& args, int64_t begin, int64_t end) {
  const int64_t tile = std::max<int64_t>(1, kTileElements / args.dim), chunks = reduce_chunks(args.batch * args.dim);
  std::vector<float> xi(tile * args.dim);
  for (int64_t i = begin; i < end;) {
    const int64_t run = i / args.batch, first = i % args.batch;
    const int64_t count = std::min({tile, end - i, args.batch - first});
    const bool whole_run = args.limit == GradLimit::cap_run;
    const T run_sum = whole_run ? static_cast<T>(sum_chunks(args.chunk_sums + run * chunks, chunks)) : T{0};
    const uint64_t seed = static_cast<uint64_t>(args.seed[run]), step = static_cast<uint64_t>(args.step[0] + args.move);
    philox_normal_fill(xi.data(), count * args.dim, first * args.dim, seed, step, args.stream);
    move(args, run, first, count, run_sum, xi.data());
    i += count;
  }
}

template void sum_grad_squares(const LangevinStep<float>&, int64_t, int64_t);
template void sum_grad_squares(const LangevinStep<double>&, int64_t, int64_t);
template void langevin_step(const LangevinStep<float>&, int64_t, int64_t);
template void langevin_step(const LangevinStep<double>&, int64_t, int64_t);

}  // namespace pyslsac::cpu
