#include "../launch.cuh"
#include "../tanh_normal.h"

namespace pyslsac::cuda {

namespace {

constexpr int kThreads = 128;

// One thread to a row, whose actions' shares it adds in their order, as the CPU does.
template <typename T>
__global__ void __launch_bounds__(kThreads) forward(TanhNormal<T> args) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= args.rows) return;
  const T *mean = args.params + 2 * row * args.actions, *log_std = mean + args.actions;
  const T* noise = args.noise + row * args.actions;
  T* action = args.action + row * args.actions;
  T total = 0;
  for (int64_t i = 0; i < args.actions; ++i) {
    T share;
    squash(mean[i], log_std[i], noise[i], &action[i], &share);
    total += share;
  }
  args.log_prob[row] = total;
}

// One thread to an action.
template <typename T>
__global__ void __launch_bounds__(kThreads) backward(TanhNormal<T> args) {
  const int64_t element = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, row = element / args.actions;
  if (row >= args.rows) return;
  const int64_t mean = element + row * args.actions, log_std = mean + args.actions;  // places in [rows, 2 A]
  squash_back(args.params[log_std], args.noise[element], args.action[element], args.action_grad[element],
              args.log_prob_grad[row], &args.params_grad[mean], &args.params_grad[log_std]);
}

int64_t blocks(int64_t threads) { return (threads + kThreads - 1) / kThreads; }

}  // namespace

template <typename T>
void tanh_normal(const TanhNormal<T>& args, void* stream) {
  launch_kernel(forward<T>, blocks(args.rows), kThreads, 0, stream, args);
}

template <typename T>
void tanh_normal_backward(const TanhNormal<T>& args, void* stream) {
  launch_kernel(backward<T>, blocks(args.rows * args.actions), kThreads, 0, stream, args);
}

template void tanh_normal(const TanhNormal<float>&, void*);
template void tanh_normal(const TanhNormal<double>&, void*);
template void tanh_normal_backward(const TanhNormal<float>&, void*);
template void tanh_normal_backward(const TanhNormal<double>&, void*);

}  // namespace pyslsac::cuda
