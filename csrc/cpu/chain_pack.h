// Weights of langevin_chain's critics in the order in which the products read them.
#pragma once

#include "chain_member.h"

namespace pyslsac {

// A matrix [depth, columns] as panels; of bfloat16, two rows lie interleaved. `at(j, c)` is the entry.
template <typename At>
HOST_DEVICE void pack(float* to, int64_t depth, int64_t columns, const At& at) {
  for (int64_t panel = 0; panel < columns; panel += kPanel)
    for (int64_t j = 0; j < depth; ++j, to += kPanel)
      for (int64_t c = 0; c < kPanel; ++c) to[c] = at(j, panel + c);
}
template <typename At>
HOST_DEVICE void pack(Bfloat16* to, int64_t depth, int64_t columns, const At& at) {
  for (int64_t panel = 0; panel < columns; panel += kPanel)
    for (int64_t j = 0; j < depth; j += 2, to += 2 * kPanel) {
      uint32_t pairs[kPanel];
      for (int64_t c = 0; c < kPanel; ++c)
        pairs[c] = narrow<Bfloat16>(at(j, panel + c)).bits |
                   static_cast<uint32_t>(narrow<Bfloat16>(at(j + 1, panel + c)).bits) << 16;
      memcpy(to, pairs, sizeof pairs);
    }
}

// The weights [own, own] of a hidden layer and their transpose, padded to whole panels with zeros.
template <typename H>
HOST_DEVICE void pack_layer(H* forward, H* backward, const float* weight, int64_t own, int64_t width) {
  const auto entry = [=](int64_t j, int64_t c) { return weight[j * own + c]; };
  const auto inside = [=](int64_t j, int64_t c) { return j < own && c < own; };
  if (own == width) {
    pack(forward, width, width, entry);
    pack(backward, width, width, [=](int64_t j, int64_t c) { return entry(c, j); });
  } else {
    pack(forward, width, width, [=](int64_t j, int64_t c) { return inside(j, c) ? entry(j, c) : 0.0f; });
    pack(backward, width, width, [=](int64_t j, int64_t c) { return inside(j, c) ? entry(c, j) : 0.0f; });
  }
}

template <typename S, typename H>
HOST_DEVICE void pack_members(const cpu::ChainMove<H>& args, int64_t begin, int64_t end) {
  const LangevinChain& chain = args.chain;
  for (int64_t unit = begin; unit < end; ++unit) {
    Place at{unit / chain.members, 0, chain.batch, 0};
    while (at.group + 1 < chain.groups && chain.group[at.group + 1].first <= unit % chain.members) ++at.group;
    const ChainGroup& group = chain.group[at.group];
    const int64_t e = unit % chain.members - group.first, index = at.run * group.members + e, own = group.width;
    const int64_t width = padded(own), hidden = group.layers - 1, inputs = chain.obs_dim + chain.action_dim;
    const PackedMember<H> member = member_of(args, at, e);
    const float* first = group.weight[0] + index * inputs * own;
    for (int64_t c = 0; c < width; ++c) {
      const bool inside = c < own;
      member.out[c] = inside ? group.weight[hidden][index * own + c] : 0.0f;
      for (int64_t l = 0; l < hidden; ++l) member.bias[l * width + c] = inside ? group.bias[l][index * own + c] : 0.0f;
      for (int64_t j = 0; j < chain.action_dim; ++j)
        member.action[j * width + c] = inside ? first[(chain.obs_dim + j) * own + c] : 0.0f;
    }
    // The slot for packed products serves first for the observations' part of layer 1, a panel at a time.
    for (int64_t b = 0; b < chain.batch; ++b) std::copy(member.bias, member.bias + width, member.base + b * width);
    const float* obs = chain.obs + at.run * chain.batch * chain.obs_dim;
    for (int64_t b = 0; b < chain.batch; ++b)
      for (int64_t j = 0; j < chain.obs_dim; ++j) {
        const float x = obs[b * chain.obs_dim + j], *row = first + j * own;
        float* to = member.base + b * width;
#pragma GCC ivdep
        for (int64_t c = 0; c < own; ++c) to[c] += x * row[c];
      }
    for (int64_t l = 1; l < hidden; ++l) {
      const int64_t offset = (l - 1) * width * width;
      pack_layer(member.forward + offset, member.backward + offset, group.weight[l] + index * own * own, own, width);
    }
  }
}

}  // namespace pyslsac
