// How the two ops of perceptrons run: on the CPU in blocks of rows, on CUDA by torch's matrix products and passes
// between them. Nothing waits for the device, so that a graph can capture it.
#pragma once

#include <algorithm>

#include "../perceptron.h"
#include "products.h"
#include "room.h"

namespace pyslsac {

#ifndef PYSLSAC_CUDA

// As many rows to a block as keep every thread busy and their layers in the cache.
inline void set_block(Perceptron& args) {
  const int64_t threads = torch::stable::get_num_threads();
  const int64_t rows = std::max<int64_t>(args.batch, 1);
  int64_t blocks = (rows + cpu::kPerceptronBlock - 1) / cpu::kPerceptronBlock;
  const auto idle = [&] {
    return (threads - args.networks * blocks % threads) % threads * 10 > args.networks * blocks;
  };
  const bool stripes = args.bf16 || args.batch >= cpu::kPerceptronMany;
  const int64_t multiple = stripes ? cpu::kPerceptronStripe : cpu::kPerceptronRows;
  while (idle() && rows / blocks > 2 * multiple) ++blocks;
  args.block = (rows + blocks * multiple - 1) / (blocks * multiple) * multiple;
}

inline int64_t grain(const Perceptron& args, int64_t units) {  // at least about 10 us of work to a thread
  int64_t products = 0;
  for (int l = 0; l < args.layers; ++l) products += args.layer[l].inputs * args.layer[l].outputs;
  return (1 << 18) * units / (args.networks * args.batch * products + 1) + 1;
}

inline void run_forward(Perceptron& args, const Tensor& x) {
  set_block(args);
  const int64_t units = args.networks * cpu::blocks(args);
  launch_shared<Perceptron>(cpu::perceptron, args, x, units, grain(args, units));
}

inline void run_backward(Perceptron& args, const Tensor& x, bool learned) {
  set_block(args);
  const int64_t units = args.networks * cpu::blocks(args), parts = args.networks * cpu::perceptron_columns(args);
  launch_shared<Perceptron>(cpu::perceptron_backward, args, x, units, grain(args, units));
  if (learned) launch_shared<Perceptron>(cpu::perceptron_weights, args, x, parts, grain(args, parts));
}

#else

// passes(call, stream) with so many numbers of scratch and torch's matrix products on the device of x.
template <typename Call, typename Args>
void run_on_device(void (*passes)(const Call&, void*), const Args& args, int64_t numbers, const Tensor& x) {
  const Tensor scratch = room(x, {numbers});
  const auto factor = [&](const float* data, int64_t networks, int64_t rows, int64_t columns, int64_t stride,
                          bool transposed) {
    return matrices(x, data, {networks, rows, columns}, {stride, transposed ? 1 : columns, transposed ? rows : 1});
  };
  const std::function<void(const cuda::Product&)> multiply = [&](const cuda::Product& p) {
    bmm_out(factor(p.left, p.networks, p.rows, p.depth, p.left_stride, p.left_transposed),
            factor(p.right, p.networks, p.depth, p.columns, p.right_stride, p.right_transposed),
            factor(p.out, p.networks, p.rows, p.columns, p.rows * p.columns, false));
  };
  launch<Call>(passes, Call{args, static_cast<float*>(scratch.mutable_data_ptr()), multiply}, x, 1, 1);
}

inline void run_forward(Perceptron& args, const Tensor& x) {
  run_on_device<cuda::PerceptronCall>(cuda::perceptron, args, cuda::perceptron_scratch(args), x);
}
inline void run_backward(Perceptron& args, const Tensor& x, bool) {
  run_on_device<cuda::PerceptronCall>(cuda::perceptron_backward, args, cuda::perceptron_scratch(args), x);
}

#endif

}  // namespace pyslsac
