#include "../launch.cuh"
#include "../quantile_huber.h"

namespace pyslsac::cuda {

namespace {

constexpr int kWarp = 32, kRows = 8;  // a warp to a row, eight to a block
constexpr unsigned kAll = 0xFFFFFFFF;

// Lane = prediction. A warp holds 32 targets at a time, one in each lane, and hands them round by shuffle.
template <typename T>
__global__ void __launch_bounds__(kWarp* kRows) pairwise(QuantileHuber<T> args) {
  using Real = Wide<T>;
  const int lane = threadIdx.x % kWarp;
  const int64_t row = int64_t{blockIdx.x} * kRows + threadIdx.x / kWarp;
  if (row >= args.rows) return;
  const T *preds = args.pred + row * args.preds, *targets = args.target + row * args.targets;
  const T* taus = args.tau + row * args.preds;
  const Real scale = 1 / (static_cast<Real>(args.targets) * args.kappa);
  Real total = 0;
  for (int64_t first = 0; first < args.preds; first += kWarp) {
    const int64_t i = first + lane;
    const bool valid = i < args.preds;
    const Real pred = valid ? widen(preds[i]) : Real{0}, tau = valid ? widen(taus[i]) : Real{0};
    const Real above = tau < 0 ? -tau : tau, below = tau < 1 ? 1 - tau : tau - 1;
    Real loss = 0, slopes = 0;
    for (int64_t start = 0; start < args.targets; start += kWarp) {
      const int64_t j = start + lane, left = args.targets - start;
      const Real mine = j < args.targets ? widen(targets[j]) : Real{0};
      const int count = left < kWarp ? static_cast<int>(left) : kWarp;
#pragma unroll 8
      for (int source = 0; source < count; ++source)
        add_pair(pred, __shfl_sync(kAll, mine, source), above, below, args.kappa, &loss, &slopes);
    }
    if (valid) {
      args.grad[row * args.preds + i] = narrow<T>(-scale * slopes);
      total += loss;
    }
  }
  for (int offset = kWarp / 2; offset > 0; offset /= 2) total += __shfl_xor_sync(kAll, total, offset);
  if (lane == 0) args.loss[row] = scale * total;
}

}  // namespace

template <typename T>
void quantile_huber(const QuantileHuber<T>& args, void* stream) {
  launch_kernel(pairwise<T>, (args.rows + kRows - 1) / kRows, kWarp * kRows, 0, stream, args);
}

template void quantile_huber(const QuantileHuber<float>&, void*);
template void quantile_huber(const QuantileHuber<double>&, void*);
template void quantile_huber(const QuantileHuber<Bfloat16>&, void*);

}  // namespace pyslsac::cuda
