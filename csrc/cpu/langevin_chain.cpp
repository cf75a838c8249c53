#include "chain_layers.h"
#include "chain_pack.h"

namespace pyslsac {

namespace {

template <typename H>
HOST_DEVICE Place place(const cpu::ChainMove<H>& args, int64_t block, int64_t blocks, int64_t group) {
  const int64_t first = block % blocks * args.block;
  return {block / blocks, first, std::min(args.block, args.chain.batch - first), group};
}

template <typename S, typename H>
HOST_DEVICE void drift(const cpu::ChainMove<H>& args, int64_t begin, int64_t end) {
  const LangevinChain& chain = args.chain;
  const int64_t blocks = (chain.batch + args.block - 1) / args.block;
  for (int64_t slot = begin; slot < end; ++slot)
    for (int64_t block = slot; block < chain.runs * blocks; block += args.slots) {
      const Place here = place(args, block, blocks, 0);
      const int64_t from = (here.run * chain.batch + here.first) * chain.action_dim;
      for (int64_t i = from; i < from + here.rows * chain.action_dim; ++i)
        args.drift[i] = chain.prior_mean
                            ? (chain.prior_mean[i] - chain.action[i]) / (chain.prior_std[i] * chain.prior_std[i])
                            : 0.0f;
      for (int64_t g = 0; g < chain.groups; ++g) {
        const ChainGroup& group = chain.group[g];
        const Place at = place(args, block, blocks, g);
        const Workspace<H> work(group, args.block, args.scratch + slot * cpu::chain_scratch<H>(chain, args.block));
        const bool one = group.reduce == Reduce::member;
        for (int64_t e = 0; e < group.members; ++e)
          if (!one || e == group.member[at.run]) forward<S>(args, at, e, work);
        for (int64_t e = 0; e < group.members; ++e)
          if (!one || e == group.member[at.run]) backward<S>(args, at, e, work);
      }
    }
}

template <typename S, typename H>
HOST_DEVICE void values(const cpu::ChainMove<H>& args, int64_t begin, int64_t end) {
  const LangevinChain& chain = args.chain;
  const int64_t blocks = (chain.batch + args.block - 1) / args.block;
  for (int64_t slot = begin; slot < end; ++slot)
    for (int64_t block = slot; block < chain.runs * blocks; block += args.slots)
      for (int64_t g = 0; g < chain.groups; ++g) {
        const ChainGroup& group = chain.group[g];
        const Place at = place(args, block, blocks, g);
        const Workspace<H> work(group, args.block, args.scratch + slot * cpu::chain_scratch<H>(chain, args.block));
        for (int64_t e = 0; e < group.members; ++e) {
          forward<S>(args, at, e, work);
          const float* q = work.q + e * at.rows;
          std::copy(q, q + at.rows, chain.values + (at.run * chain.members + group.first + e) * chain.batch + at.first);
        }
      }
}

#define LEVEL(target, S, H)                                                                                         \
  target void drift_at(const cpu::ChainMove<H>& args, int64_t begin, int64_t end) { drift<S>(args, begin, end); }   \
  target void values_at(const cpu::ChainMove<H>& args, int64_t begin, int64_t end) { values<S>(args, begin, end); } \
  target void pack_at(const cpu::ChainMove<H>& args, int64_t begin, int64_t end) { pack_members<S>(args, begin, end); }
SIMD_LEVELS(LEVEL, float)
SIMD_LEVELS(LEVEL, Bfloat16)

}  // namespace

namespace cpu {

template <typename H>
int64_t chain_packed(const LangevinChain& chain) {
  int64_t size = 0;
  for (int g = 0; g < chain.groups; ++g)
    size += chain.runs * chain.group[g].members * PackedMember<H>::size(chain, chain.group[g]);
  return size;
}

template <typename H>
int64_t chain_scratch(const LangevinChain& chain, int64_t block) {
  int64_t size = 0;
  for (int g = 0; g < chain.groups; ++g) size = std::max(size, Workspace<H>::size(chain.group[g], block));
  return (size + 15) / 16 * 16;
}

#define FORWARDED(name, level)                                      \
  template <typename H>                                             \
  void name(const ChainMove<H>& args, int64_t begin, int64_t end) { \
    level(args, begin, end);                                        \
  }                                                                 \
  template void name(const ChainMove<float>&, int64_t, int64_t);    \
  template void name(const ChainMove<Bfloat16>&, int64_t, int64_t);
FORWARDED(chain_pack, pack_at)
FORWARDED(chain_drift, drift_at)
FORWARDED(chain_values, values_at)

template int64_t chain_packed<float>(const LangevinChain&);
template int64_t chain_packed<Bfloat16>(const LangevinChain&);
template int64_t chain_scratch<float>(const LangevinChain&, int64_t);
template int64_t chain_scratch<Bfloat16>(const LangevinChain&, int64_t);

}  // namespace cpu
}  // namespace pyslsac
