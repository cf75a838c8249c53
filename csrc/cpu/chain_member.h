// One critic of langevin_chain on the CPU: its weights packed for register tiles, and products with them. Widths are
// padded to whole panels with zeros, which every activation keeps.
#pragma once

#include "../bfloat16.h"
#include "../langevin_chain_launch.h"
#include "bf16_product.h"
#include "tile.h"

namespace pyslsac {

constexpr int64_t kPanel = 32;  // columns that lie together in memory, row after row

inline int64_t padded(int64_t width) { return (width + kPanel - 1) / kPanel * kPanel; }

struct Store {
  float* to;
  int64_t stride;
  template <typename V>
  HOST_DEVICE void operator()(int64_t i, int64_t c, V sum) const {
    store(to + i * stride + c, sum);
  }
};

// out [rows, columns] = left [rows, depth] times a packed matrix, everything `stride` apart.
template <typename S>
HOST_DEVICE void multiply(const float* left, int64_t stride, const float* packed, int64_t depth, float* out,
                          int64_t rows, int64_t columns) {
  for (int64_t c = 0; c < columns; c += kPanel, packed += depth * kPanel)
    product<S, float>(Rows<const float>{left, stride}, 1, depth, Rows<const float>{packed, kPanel},
                      Store{out + c, columns}, rows, kPanel);
}
template <typename S>
HOST_DEVICE void multiply(const Bfloat16* left, int64_t stride, const Bfloat16* packed, int64_t depth, float* out,
                          int64_t rows, int64_t columns) {
  Bf16Unit unit;
  for (int64_t c = 0; c < columns; c += kPanel, packed += depth * kPanel)
    bf16_product(unit, LeftFactor::in_rows(left, stride), packed, depth, out + c, columns, rows);
}

// Where a member's packed weights lie. `H` holds what the hidden layers multiply.
template <typename H>
struct PackedMember {
  float *action, *bias, *out;  // [A, W] of layer 1, [hidden, W], [W]
  H *forward, *backward;       // of each hidden layer after the first, W W
  float* base;                 // [B, W], the observations' part of layer 1 with its bias

  static int64_t size(const LangevinChain& chain, const ChainGroup& group) {
    const int64_t width = padded(group.width), hidden = group.layers - 1;
    const int64_t products = 2 * (hidden - 1) * width * width * sizeof(H) / sizeof(float);
    return (chain.action_dim + hidden + 1 + chain.batch) * width + products;
  }
  PackedMember(const LangevinChain& chain, const ChainGroup& group, float* data) {
    const int64_t width = padded(group.width), hidden = group.layers - 1;
    action = data, bias = action + chain.action_dim * width, out = bias + hidden * width, base = out + width;
    forward = reinterpret_cast<H*>(base + chain.batch * width);
    backward = forward + (hidden - 1) * width * width;
  }
};

// The rows of one block, and the group whose members see them.
struct Place {
  int64_t run, first, rows, group;
};

template <typename H>
HOST_DEVICE PackedMember<H> member_of(const cpu::ChainMove<H>& args, const Place& at, int64_t e) {
  float* data = args.packed;
  for (int64_t g = 0; g < at.group; ++g)
    data += args.chain.runs * args.chain.group[g].members * PackedMember<H>::size(args.chain, args.chain.group[g]);
  const ChainGroup& group = args.chain.group[at.group];
  return {args.chain, group, data + (at.run * group.members + e) * PackedMember<H>::size(args.chain, group)};
}

}  // namespace pyslsac
