// Which backend a binding is compiled for (every bind/X.cpp is compiled once for CPU and once for CUDA), and its
// launch.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "flush.h"

#ifdef PYSLSAC_CUDA
#include <cuda_runtime_api.h>
#define PYSLSAC_KEY CUDA
#else
#define PYSLSAC_KEY CPU
#endif

namespace pyslsac {

namespace cpu {}
namespace cuda {}

// Runs backend::op(args, ...): on CUDA on the current stream of the tensor's device, on CPU over `count` units of work,
// at least `grain` to a thread of torch's own pool.
#ifdef PYSLSAC_CUDA
namespace backend = cuda;

template <typename Args>
void launch(void (*kernel)(const Args&, void*), const Args& args, const torch::stable::Tensor& where, int64_t count,
            int64_t) {
  if (count == 0) return;
  const torch::stable::accelerator::DeviceGuard guard(where.get_device_index());
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(where.get_device_index(), &stream));
  kernel(args, stream);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

template <typename Args>
void launch_shared(void (*kernel)(const Args&, void*), const Args& args, const torch::stable::Tensor& where,
                   int64_t count, int64_t grain, int64_t = 1) {
  launch<Args>(kernel, args, where, count, grain);
}
#else
namespace backend = cpu;  // where denormal numbers are zero

template <typename Args>
void launch(void (*kernel)(const Args&, int64_t, int64_t), const Args& args, const torch::stable::Tensor&,
            int64_t count, int64_t grain) {
  if (count == 0) return;
  torch::stable::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    const Flush flush;
    kernel(args, begin, end);
  });
}

// The same for units of which a thread takes `some` at a time: first its own, which it had in other passes too and may
// have in its cache, and then what others have left, since threads rarely keep the same pace.
template <typename Args>
void launch_shared(void (*kernel)(const Args&, int64_t, int64_t), const Args& args, const torch::stable::Tensor&,
                   int64_t count, int64_t grain, int64_t some = 1) {
  const int64_t threads = std::min<int64_t>(torch::stable::get_num_threads(), (count + grain - 1) / grain);
  const auto first = [&](int64_t thread) { return count * thread / threads; };
  std::vector<std::atomic<int64_t> > next(threads);
  for (int64_t thread = 0; thread < threads; ++thread) next[thread] = first(thread);
  torch::stable::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    const Flush flush;
    for (int64_t thread = begin; thread < end; ++thread)
      for (int64_t other = thread; other < thread + threads; ++other) {
        const int64_t owner = other % threads, last = first(owner + 1);
        for (int64_t unit; (unit = next[owner].fetch_add(some)) < last;)
          kernel(args, unit, std::min(unit + some, last));
      }
  });
}
#endif

}  // namespace pyslsac
