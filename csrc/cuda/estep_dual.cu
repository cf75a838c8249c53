#include <algorithm>

#include "../estep_dual.h"
#include "../launch.cuh"

namespace pyslsac::cuda {

namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;  // of a block; a warp takes a state, its lanes the actions
constexpr int64_t kParts = 32;                     // of a run's states at most, a block each
constexpr int kSums = 8, kMeans = kSizes - 1;

// What the launches of a run leave for one another. `weigh` writes the first two, `propose` reads them; and the
// reverse.
struct Progress {
  DualPoint start;                                    // of this step
  double last;                                        // not 0: it leads nowhere
  DualPoint from, to;                                 // of this step, or the one before: where a full one leads
  double log_mean, reward_magnitude, cost_magnitude;  // means, the first at `from`
};

int64_t parts_of(const EstepDual& a) { return std::min((a.states + kWarps - 1) / kWarps, kParts); }

struct Run {
  Progress* progress;
  double *sums, *means;  // shares of `parts` blocks: [parts, kSums] of `weigh`, [parts, kMeans] of `propose`

  static constexpr int64_t kOwn = sizeof(Progress) / sizeof(double);
  __host__ __device__ static int64_t size(int64_t parts) { return kOwn + parts * (kSums + kMeans); }
  __device__ __forceinline__ Run(const EstepDual& a, int64_t run, int64_t parts) {
    double* const first = a.scratch + run * size(parts);
    progress = reinterpret_cast<Progress*>(first), sums = first + kOwn, means = sums + parts * kSums;
  }
};

// total[t] for t < N: the N numbers of every part, added in their order.
template <int N>
__device__ __forceinline__ void add_parts(const double* part, int64_t parts, double* total) {
  if (threadIdx.x < N) {
    double sum = 0;
    for (int64_t i = 0; i < parts; ++i) sum += part[i * N + threadIdx.x];
    total[threadIdx.x] = sum;
  }
  __syncthreads();
}

__device__ __forceinline__ double warp_sum(double x) {
  UNROLL for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xFFFFFFFF, x, offset);
  return x;
}

__device__ __forceinline__ double warp_max(double x) {  // a NaN is the largest
  UNROLL for (int offset = 16; offset > 0; offset /= 2) {
    const double y = __shfl_xor_sync(0xFFFFFFFF, x, offset);
    x = x >= y || x != x ? x : y;
  }
  return x;
}

// One state's Q_r and Q_c, an action a lane and more.
struct State {
  const double *reward, *cost;
  int64_t actions;

  __device__ __forceinline__ State(const EstepDual& a, int64_t run, int64_t state)
      : reward(a.q + (2 * run * a.states + state) * a.actions),
        cost(reward + a.states * a.actions),
        actions(a.actions) {}
  __device__ __forceinline__ double z(int64_t k, double m) const { return reward[k] - m * cost[k]; }
  __device__ __forceinline__ double largest(double m) const {
    double most = -HUGE_VAL;
    for (int64_t k = threadIdx.x % 32; k < actions; k += 32) {
      const double next = z(k, m);
      most = next <= most ? most : next;
    }
    return warp_max(most);
  }
  __device__ __forceinline__ double log_sum(const DualPoint& p) const {
    const double rate = 1 / std::exp(p.u), most = largest(p.m);
    double sum = 0;
    for (int64_t k = threadIdx.x % 32; k < actions; k += 32) sum += std::exp((z(k, p.m) - most) * rate);
    return most * rate + std::log(warp_sum(sum));
  }
  // Adds what Weighted is made of, and magnitudes, to `total`.
  __device__ __forceinline__ void add(const DualPoint& p, double (&total)[kSums]) const {
    const double rate = 1 / std::exp(p.u), most = largest(p.m);
    double sum = 0, below = 0, price = 0, rewards = 0, costs = 0, rr = 0, rc = 0, cc = 0;
    for (int64_t k = threadIdx.x % 32; k < actions; k += 32) {
      const double off = z(k, p.m) - most, e = std::exp(off * rate);
      sum += e, below += e * off, price += e * cost[k];
      rewards += std::abs(reward[k]), costs += std::abs(cost[k]);
    }
    sum = warp_sum(sum), below = warp_sum(below) / sum, price = warp_sum(price) / sum;
    for (int64_t k = threadIdx.x % 32; k < actions; k += 32) {
      const double off = z(k, p.m) - most, e = std::exp(off * rate), r = off - below, c = cost[k] - price;
      rr += e * r * r, rc += e * r * c, cc += e * c * c;
    }
    const double log_sum = std::log(sum);
    total[0] += most * rate + log_sum, total[1] += below * rate - log_sum, total[2] += price;
    total[3] += warp_sum(rr) / sum, total[4] += warp_sum(rc) / sum, total[5] += warp_sum(cc) / sum;
    total[6] += warp_sum(rewards), total[7] += warp_sum(costs);
  }
};

// Writes this block's share of N numbers; lane 0 of each warp brings its own.
template <int N>
__device__ __forceinline__ void leave(const double (&total)[N], double* share) {
  __shared__ double of_warp[kWarps * N], sum[N];
  if (threadIdx.x % 32 == 0) UNROLL for (int i = 0; i < N; ++i) of_warp[threadIdx.x / 32 * N + i] = total[i];
  __syncthreads();
  add_parts<N>(of_warp, kWarps, sum);
  if (threadIdx.x < N) share[threadIdx.x] = sum[threadIdx.x];
}

// Where the step before has led, for thread 0.
__device__ __forceinline__ DualPoint reached(const EstepDual& a, const Run& run, int64_t parts) {
  __shared__ double means[kMeans];
  add_parts<kMeans>(run.means, parts, means);
  if (threadIdx.x > 0) return {};
  const Progress& p = *run.progress;
  double log_mean[kSizes];
  UNROLL for (int i = 0; i < kMeans; ++i) log_mean[i] = means[i] / a.states - std::log(static_cast<double>(a.actions));
  log_mean[kMeans] = p.log_mean;
  return lowest(a, p.from, p.to, log_mean, p.reward_magnitude, p.cost_magnitude);
}

// The first half of a step: where it starts, and what the weights do there. Blocks: parts of the states, runs.
__global__ void __launch_bounds__(kThreads) weigh(EstepDual a, bool first) {
  __shared__ DualPoint start;
  __shared__ bool last;
  const Run run(a, blockIdx.y, gridDim.x);
  const DualPoint p =
      first ? DualPoint{std::log(a.eta[blockIdx.y]), a.multiplier[blockIdx.y]} : reached(a, run, gridDim.x);
  if (threadIdx.x == 0) {
    start = p, last = !first && still(run.progress->from, p);
    if (blockIdx.x == 0) run.progress->start = p, run.progress->last = last;
  }
  __syncthreads();
  if (last) return;
  double total[kSums]{};
  for (int64_t state = blockIdx.x * kWarps + threadIdx.x / 32; state < a.states; state += gridDim.x * kWarps)
    State(a, blockIdx.y, state).add(start, total);
  leave<kSums>(total, run.sums + blockIdx.x * kSums);
}

// The second half: where it could lead, and how low. Its full size is worth what `to` is, the last one stays.
__global__ void __launch_bounds__(kThreads) propose(EstepDual a) {
  __shared__ double sums[kSums];
  __shared__ DualPoint to;
  const Run run(a, blockIdx.y, gridDim.x);
  if (run.progress->last != 0) return;
  const DualPoint from = run.progress->start;
  add_parts<kSums>(run.sums, gridDim.x, sums);
  if (threadIdx.x == 0) {
    const double n = a.states, log_actions = std::log(static_cast<double>(a.actions));
    const Weighted now{
        sums[0] / n - log_actions, sums[1] / n + log_actions, sums[2] / n, sums[3] / n, sums[4] / n, sums[5] / n};
    to = newton(a, from, now);
    if (blockIdx.x == 0) {
      Progress& p = *run.progress;
      p.from = from, p.to = to, p.log_mean = now.log_mean;
      p.reward_magnitude = sums[6] / (n * a.actions), p.cost_magnitude = sums[7] / (n * a.actions);
    }
  }
  __syncthreads();
  double total[kMeans]{};
  for (int64_t state = blockIdx.x * kWarps + threadIdx.x / 32; state < a.states; state += gridDim.x * kWarps) {
    const State of(a, blockIdx.y, state);
    UNROLL for (int i = 0; i < kMeans; ++i) total[i] += of.log_sum(part_way(from, to, i));
  }
  leave<kMeans>(total, run.means + blockIdx.x * kMeans);
}

__global__ void finish(EstepDual a, int64_t parts) {
  const DualPoint p = reached(a, Run(a, blockIdx.x, parts), parts);
  if (threadIdx.x == 0) a.eta[blockIdx.x] = std::exp(p.u), a.multiplier[blockIdx.x] = p.m;
}

}  // namespace

int64_t estep_dual_scratch(const EstepDual& args) { return Run::size(parts_of(args)); }

void estep_dual(const EstepDual& args, void* stream) {
  const int64_t parts = parts_of(args);
  const dim3 grid(parts, args.runs);
  for (int64_t step = 0; step < args.steps; ++step) {
    launch_kernel(weigh, grid, kThreads, 0, stream, args, step == 0);
    launch_kernel(propose, grid, kThreads, 0, stream, args);
  }
  if (args.steps > 0) launch_kernel(finish, args.runs, 32, 0, stream, args, parts);
}

}  // namespace pyslsac::cuda
