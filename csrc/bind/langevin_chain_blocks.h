// The drift of a chain on the CPU: blocks of rows, each through all critics.
#pragma once

#include <algorithm>
#include <vector>

#include "../langevin_chain_launch.h"
#include "room.h"

namespace pyslsac {

using torch::stable::Tensor;

template <typename Hidden>
class Climber {  // the drift of a move, and the critics' values
 public:
  Climber(const LangevinChain& chain, const Tensor& like, const std::vector<Tensor>&, float* drift) : like_(like) {
    const int64_t threads = torch::stable::get_num_threads(), rows = chain.runs * chain.batch;
    args_.chain = chain, args_.drift = drift;
    args_.block = std::clamp<int64_t>(((rows + threads - 1) / threads + 15) / 16 * 16, 16, cpu::kChainBlock);
    args_.slots = std::min(threads, chain.runs * ((chain.batch + args_.block - 1) / args_.block));
    const int64_t packed = cpu::chain_packed<Hidden>(chain), scratch = cpu::chain_scratch<Hidden>(chain, args_.block);
    memory_ = room(like, {packed + args_.slots * scratch});
    args_.packed = static_cast<float*>(memory_.mutable_data_ptr()), args_.scratch = args_.packed + packed;
    launch(cpu::chain_pack<Hidden>, args_, like, chain.runs * chain.members, 1);
  }
  void drift(int64_t k) {
    args_.move = k;
    launch(cpu::chain_drift<Hidden>, args_, like_, args_.slots, 1);
  }
  void values() {
    args_.move = args_.chain.steps - 1;
    launch(cpu::chain_values<Hidden>, args_, like_, args_.slots, 1);
  }

 private:
  const Tensor& like_;
  cpu::ChainMove<Hidden> args_{};
  Tensor memory_;
};

}  // namespace pyslsac
