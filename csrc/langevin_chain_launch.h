// What the CPU twin and the unfused CUDA passes of langevin_chain are given. `Hidden` is what hidden
// layers multiply: float or Bfloat16.
#pragma once

#include "bfloat16.h"
#include "langevin_chain.h"

namespace pyslsac {

namespace cpu {
constexpr int64_t kChainBlock = 64;  // rows that go through the layers together, at most

// One launch of the CPU twin.
template <typename Hidden>
struct ChainMove {
  LangevinChain chain;
  float* drift;             // [R, B, A]
  float *packed, *scratch;  // of chain_packed and, for each slot, chain_scratch floats
  int64_t move;             // k
  int64_t block, slots;     // rows of a block; slot i takes blocks i, i + slots, ...
};
template <typename Hidden>
int64_t chain_packed(const LangevinChain& chain);
template <typename Hidden>
int64_t chain_scratch(const LangevinChain& chain, int64_t block);
template <typename Hidden>  // members begin .. end - 1 of R M: weights in the order of the products, base of layer 1
void chain_pack(const ChainMove<Hidden>& args, int64_t begin, int64_t end);
template <typename Hidden>  // slots begin .. end - 1: drift at chain.action before move k
void chain_drift(const ChainMove<Hidden>& args, int64_t begin, int64_t end);
template <typename Hidden>  // slots begin .. end - 1: chain.values at chain.action
void chain_values(const ChainMove<Hidden>& args, int64_t begin, int64_t end);
}  // namespace cpu

namespace cuda {
// One elementwise pass over the rows of all members of a group, [R, E, B, W]; matrix products stand between them.
template <typename Hidden>
struct ChainPass {
  LangevinChain chain;
  int64_t move;         // k
  int group, layer;     // layer: 0 is the first
  const float* base;    // the observations' part of layer 1
  const Hidden* in;     // a product
  Hidden *out, *slope;  // for the next product; the activation's derivative
  float* wide;          // values of the last hidden layer, or gradient by the first: their products are float's
  const float *q[kChainGroups], *gradient[kChainGroups];  // of each group, [R, E, B] without bias, [R, E, B, A]
  float* drift;                                           // [R, B, A]
};
template <typename Hidden>  // layer 1 at chain.action: out, slope
void chain_enter(const ChainPass<Hidden>& args, void* stream);
template <typename Hidden>  // out = activation(in + bias), slope
void chain_activate(const ChainPass<Hidden>& args, void* stream);
template <typename Hidden>  // wide = activation(in + bias), out = dQ / d(in)
void chain_turn(const ChainPass<Hidden>& args, void* stream);
template <typename Hidden>  // out = in slope
void chain_return(const ChainPass<Hidden>& args, void* stream);
template <typename Hidden>  // wide = in slope
void chain_leave(const ChainPass<Hidden>& args, void* stream);
template <typename Hidden>  // drift of all groups and the prior
void chain_combine(const ChainPass<Hidden>& args, void* stream);
template <typename Hidden>  // chain.values
void chain_values(const ChainPass<Hidden>& args, void* stream);
}  // namespace cuda

}  // namespace pyslsac
