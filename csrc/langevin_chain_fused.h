// What the fused CUDA kernels of langevin_chain are given, in bfloat16, and the shapes they take: a cluster of blocks,
// one to a member, moves a tile of samples.
#pragma once

#include "bfloat16.h"
#include "langevin_chain.h"

namespace pyslsac::cuda {

constexpr int64_t kMaxShared = 227 * 1024, kMaxCluster = 8;

// Do the groups have one width and as many layers, and is there nothing that needs other samples?
inline bool chain_is_uniform(const LangevinChain& c) {
  for (int g = 1; g < c.groups; ++g)
    if (c.group[g].width != c.group[0].width || c.group[g].layers != c.group[0].layers) return false;
  return c.members <= kMaxCluster && c.limit != GradLimit::cap_run;
}

struct ChainSmall {
  LangevinChain chain;
  Bfloat16* third;  // [R, M, W, W], scratch for the weights of a third hidden layer
  static constexpr int64_t kRows = 16, kWarps = 8, kChunk = 64, kActions = 32;  // of a tile; rows of `third` at once
  static int64_t shared_bytes(int64_t width, int layers, int64_t actions, int64_t members) {
    const int64_t half = width + (layers == 4 ? 2 * kChunk : 0) + 2 * kRows;
    const int64_t full = actions * (width + kRows + kWarps * kRows) + kWarps * kRows;
    return 2 * half * width + 4 * (full + 2 * members * kRows * (actions + 1));
  }
  static bool fits(const LangevinChain& c) {
    const int64_t width = c.group[0].width;
    return chain_is_uniform(c) && width % 64 == 0 && width <= 256 && c.action_dim <= kActions &&
           shared_bytes(width, c.group[0].layers, c.action_dim, c.members) <= kMaxShared;
  }
};
void langevin_chain_small(const ChainSmall& args, void* stream);

struct ChainLarge {
  LangevinChain chain;
  static constexpr int64_t kRows = 64, kSides = 2, kAlign = 1024, kActions = 32;
  static int64_t shared_bytes(int64_t width, int64_t actions, int64_t members) {
    const int64_t full = actions * (width + kRows + kSides * kRows) + kSides * kRows;
    return 2 * (width + 2 * kRows) * width + 4 * (full + 2 * members * kRows * (actions + 1)) + kAlign;
  }
  static bool fits(const LangevinChain& c) {
    const int64_t width = c.group[0].width;
    return chain_is_uniform(c) && c.group[0].layers == 3 && (width == 64 || width == 128 || width == 256) &&
           c.action_dim <= kActions && shared_bytes(width, c.action_dim, c.members) <= kMaxShared;
  }
};
void langevin_chain_large(const ChainLarge& args, void* stream);

}  // namespace pyslsac::cuda
