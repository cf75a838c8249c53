#include "../asgld.h"
#include "../four.cuh"
#include "../reduce.cuh"
#include "../tensor_list.cuh"

namespace pyslsac::cuda {

namespace {

constexpr int kThreads = 512;
using Launch = ListLaunch<Asgld>;

template <typename T>
__device__ T at(const void* data, int64_t i) {
  return data ? static_cast<const T*>(data)[i] : T{};
}

// What the norm is taken of, element by element of a chunk: the gradient, or the drift once its moments have moved.
template <typename S>
struct Measured {
  const Asgld& args;
  const AsgldElement<Wide<S>>& e;
  const AsgldChunk& c;

  __device__ double operator[](int64_t i) const {
    using T = Wide<S>;
    const AsgldTensor& t = *c.tensor;
    const T g = e.gradient(widen(at<S>(t.grad, c.first + i)));
    if (args.clip == Clip::grad_norm) return g;
    const T m = e.first_moment(at<T>(t.exp_avg, c.first + i), g),
            v = e.second_moment(at<T>(t.exp_avg_sq, c.first + i), g);
    if (t.exp_avg) static_cast<T*>(t.exp_avg)[c.first + i] = m;
    if (t.exp_avg_sq) static_cast<T*>(t.exp_avg_sq)[c.first + i] = v;
    return e.drift(args.variant, g, m, v);
  }
};

template <typename S>
__device__ __forceinline__ double sum_of(const Asgld& args, const AsgldChunk& c) {
  const AsgldElement<Wide<S>> e(args, 1.0);
  return block_sum_squares(Measured<S>{args, e, c}, c.count);
}

__global__ void __launch_bounds__(kReduceLanes) sum_chunk(const __grid_constant__ Launch launch) {
  const Asgld args = launch.list();
  if (args.skipped()) return;
  const int64_t chunk = args.tensors[0].first_chunk + blockIdx.x;
  const AsgldChunk c = args.locate(chunk);
  double sum;
  switch (c.tensor->storage) {
    case Storage::float32: sum = sum_of<float>(args, c); break;
    case Storage::float64: sum = sum_of<double>(args, c); break;
    default: sum = sum_of<Bfloat16>(args, c);
  }
  if (threadIdx.x == 0) args.sums[chunk] = sum;
}

// The four elements of one noise block: elements first .. first + 3 of the tensor, of which low .. high - 1 are the
// chunk's.
template <typename S>
__device__ __forceinline__ void move(const Asgld& args, const AsgldElement<Wide<S>>& e, const AsgldTensor& t,
                                     int64_t first, int low, int high, const float xi[4]) {
  using T = Wide<S>;
  S theta[4], grad[4], target[4];
  T m[4]{}, v[4]{}, residual[4]{};
  load_four(t.param, first, low, high, theta);
  load_four(t.grad, first, low, high, grad);
  if (t.exp_avg) load_four(t.exp_avg, first, low, high, m);
  if (t.exp_avg_sq) load_four(t.exp_avg_sq, first, low, high, v);
  if (t.residual) load_four(t.residual, first, low, high, residual);
  if (t.target) load_four(t.target, first, low, high, target);
  UNROLL for (int j = 0; j < 4; ++j) {
    const T g = e.gradient(widen(grad[j])), old = widen(theta[j]);
    if (args.clip != Clip::drift_norm) m[j] = e.first_moment(m[j], g), v[j] = e.second_moment(v[j], g);
    T d = e.bounded(e.drift(args.variant, g, m[j], v[j]));
    if (e.decay != 0) d = fma_rn(e.decay, old, d);
    T delta = d * e.minus_lr;
    if (e.noisy) delta = delta + e.noise(args.variant, v[j], static_cast<T>(xi[j]));
    if (t.residual)
      theta[j] = e.template compensated<S>(old, delta + residual[j], &residual[j]);
    else
      theta[j] = narrow<S>(e.noisy ? old + delta : fma_rn(e.minus_lr, d, old));
    if (t.target) target[j] = narrow<S>(e.followed(widen(target[j]), widen(theta[j])));
  }
  store_four(t.param, first, low, high, theta);
  if (t.exp_avg && args.clip != Clip::drift_norm) store_four(t.exp_avg, first, low, high, m);
  if (t.exp_avg_sq && args.clip != Clip::drift_norm) store_four(t.exp_avg_sq, first, low, high, v);
  if (t.residual) store_four(t.residual, first, low, high, residual);
  if (t.target) store_four(t.target, first, low, high, target);
}

template <typename S>
__device__ __forceinline__ void step(const Asgld& args, const AsgldChunk& c, double factor) {
  const AsgldElement<Wide<S>> e(args, factor);
  const uint64_t seed = args.seed[c.run], step = *c.tensor->step;
  const int64_t start = c.number / 4, stop = (c.number + c.count + 3) / 4;
  for (int64_t block = start + threadIdx.x; block < stop; block += kThreads) {
    float xi[4]{};
    if (e.noisy) philox_normal4(seed, step, c.tensor->stream, static_cast<uint32_t>(block), xi);
    const int64_t begin = 4 * block - c.number;  // in the chunk
    move<S>(args, e, *c.tensor, c.first + begin, static_cast<int>(max(-begin, int64_t{0})),
            static_cast<int>(min(c.count - begin, int64_t{4})), xi);
  }
}

__global__ void __launch_bounds__(kThreads) step_chunk(const __grid_constant__ Launch launch) {
  __shared__ double factor;
  const Asgld args = launch.list();
  if (args.skipped()) return;
  const AsgldChunk c = args.locate(args.tensors[0].first_chunk + blockIdx.x);
  if (threadIdx.x < 32) {
    const double f = factor_of(launch, args, c.network);
    if (threadIdx.x == 0) factor = f;
  }
  __syncthreads();
  const double f = factor;
  switch (c.tensor->storage) {
    case Storage::float32: return step<float>(args, c, f);
    case Storage::float64: return step<double>(args, c, f);
    default: return step<Bfloat16>(args, c, f);
  }
}

}  // namespace

void asgld_sums(const Asgld& args, void* stream) {
  for_each_launch(args, [&](const Launch& launch, int64_t chunks) {
    launch_kernel(sum_chunk, chunks, kReduceLanes, 0, stream, launch);
  });
}

void asgld_factors(const Asgld& args, void* stream) { add_groups(args, stream); }

void asgld_step(const Asgld& args, void* stream) {
  for_each_launch(args, [&](const Launch& launch, int64_t chunks) {
    launch_kernel(step_chunk, chunks, kThreads, 0, stream, launch);
  });
}

}  // namespace pyslsac::cuda
