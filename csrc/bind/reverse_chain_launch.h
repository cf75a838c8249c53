// How reverse_chain's ops run: on the CPU a block of rows goes through all levels, on CUDA all rows level by level.
#pragma once

#include "../reverse_chain.h"
#include "perceptron_launch.h"

namespace pyslsac {

#ifndef PYSLSAC_CUDA

inline void run_forward(ReverseChain& args, const Tensor& like) {
  set_block(args.score);
  const int64_t units = args.score.networks * cpu::blocks(args.score);
  launch_shared<ReverseChain>(cpu::reverse_chain, args, like, units, grain(args.score, units) / args.levels + 1);
}

inline void run_backward(ReverseChain& args, const Tensor& like) {
  set_block(args.score);
  const int64_t runs = args.score.networks, units = runs * cpu::blocks(args.score);
  const int64_t parts = runs * cpu::perceptron_columns(args.score);
  launch_shared<ReverseChain>(cpu::reverse_chain_backward, args, like, units,
                              grain(args.score, units) / args.levels + 1);
  launch_shared<ReverseChain>(cpu::reverse_chain_weights, args, like, parts,
                              grain(args.score, parts) / args.levels + 1);
  launch_shared<ReverseChain>(cpu::reverse_chain_table, args, like, runs * args.levels, 1 << 20);
}

#else

inline void run_forward(ReverseChain& args, const Tensor& like) {
  run_on_device<cuda::ReverseChainCall>(cuda::reverse_chain, args, cuda::reverse_chain_scratch(args), like);
}
inline void run_backward(ReverseChain& args, const Tensor& like) {
  run_on_device<cuda::ReverseChainCall>(cuda::reverse_chain_backward, args, cuda::reverse_chain_scratch(args), like);
}

#endif

}  // namespace pyslsac
