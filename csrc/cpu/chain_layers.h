// One critic of langevin_chain at the rows of one block: its layers, there and back.
#pragma once

#include <algorithm>

#include "activate.h"
#include "chain_member.h"

namespace pyslsac {

// A panel's columns as vectors of S.
template <typename S>
struct Panel {
  using V = typename VectorOf<float, S::kBytes>::type;
  static constexpr int kLanes = S::kBytes / sizeof(float), kVectors = kPanel / kLanes;
};

template <typename S>
HOST_DEVICE float dot(const float* x, const float* y, int64_t count) {
  using P = Panel<S>;
  typename P::V sum[P::kVectors] = {};
  for (int64_t i = 0; i < count; i += kPanel)
    UNROLL for (int v = 0; v < P::kVectors; ++v) sum[v] +=
        load<typename P::V>(x + i + v * P::kLanes) * load<typename P::V>(y + i + v * P::kLanes);
  UNROLL for (int v = 1; v < P::kVectors; ++v) sum[0] += sum[v];
  float total = 0;
  UNROLL for (int i = 0; i < P::kLanes; ++i) total += sum[0][i];
  return total;
}

struct Strided {
  const float* data;
  int64_t stride;
  HOST_DEVICE float operator[](int64_t i) const { return data[i * stride]; }
};

// What one slot works with: one group's members at the rows of one block.
template <typename H>
struct Workspace {
  float *product, *row, *q, *weight;  // [rows, W], [W], [E, rows], [rows]
  H *hidden, *slope;                  // [rows, W], [E, hidden, rows, W]
  int32_t* index;                     // [rows]

  static int64_t size(const ChainGroup& group, int64_t rows) {
    const int64_t width = padded(group.width), slopes = group.members * (group.layers - 1) + 1;
    const int64_t halves = rows * width * slopes * sizeof(H) / sizeof(float);
    return halves + (rows + 1) * width + (group.members + 2) * (rows + 16);
  }
  Workspace(const ChainGroup& group, int64_t rows, float* data) {
    const int64_t width = padded(group.width);
    product = data, row = product + rows * width;
    hidden = reinterpret_cast<H*>(row + width), slope = hidden + rows * width;
    q = reinterpret_cast<float*>(slope + group.members * (group.layers - 1) * rows * width);
    weight = q + group.members * rows, index = reinterpret_cast<int32_t*>(weight + rows);
  }
};

// Member e's values and slopes.
template <typename S, typename H>
HOST_DEVICE void forward(const cpu::ChainMove<H>& args, const Place& at, int64_t e, const Workspace<H>& work) {
  using P = Panel<S>;
  const LangevinChain& chain = args.chain;
  const ChainGroup& group = chain.group[at.group];
  const PackedMember<H> member = member_of(args, at, e);
  const int64_t width = padded(group.width), hidden = group.layers - 1, size = at.rows * width;
  for (int64_t i = 0; i < at.rows; ++i) {
    const float *base = member.base + (at.first + i) * width,
                *action = chain.action + (at.run * chain.batch + at.first + i) * chain.action_dim;
    for (int64_t c = 0; c < width; c += kPanel) {
      typename P::V z[P::kVectors];
      UNROLL for (int v = 0; v < P::kVectors; ++v) z[v] = load<typename P::V>(base + c + v * P::kLanes);
      for (int64_t j = 0; j < chain.action_dim; ++j)
        UNROLL for (int v = 0; v < P::kVectors; ++v) z[v] +=
            action[j] * load<typename P::V>(member.action + j * width + c + v * P::kLanes);
      UNROLL for (int v = 0; v < P::kVectors; ++v) store(work.product + i * width + c + v * P::kLanes, z[v]);
    }
  }
  std::fill(work.row, work.row + width, 0.0f);
  if (group.step_bias) {
    const float* from = group.step_bias + ((at.run * chain.steps + args.move) * group.members + e) * group.width;
    std::copy(from, from + group.width, work.row);
  }
  H* slope = work.slope + e * hidden * size;
  activate(group.activation, work.product, work.row, work.hidden, slope, at.rows, width);
  for (int64_t l = 1; l < hidden; ++l) {
    multiply<S>(work.hidden, width, member.forward + (l - 1) * width * width, width, work.product, at.rows, width);
    const float* bias = member.bias + l * width;
    if (l + 1 < hidden)
      activate(group.activation, work.product, bias, work.hidden, slope + l * size, at.rows, width);
    else
      activate(group.activation, work.product, bias, work.product, slope + l * size, at.rows, width);
  }
  const float bias = group.bias[hidden][at.run * group.members + e];
  for (int64_t i = 0; i < at.rows; ++i)
    work.q[e * at.rows + i] = dot<S>(work.product + i * width, member.out, width) + bias;
}

template <typename H, typename V>
HOST_DEVICE void scale(const float* x, const H* factor, V* to, int64_t count) {
#pragma GCC ivdep
  for (int64_t c = 0; c < count; ++c) to[c] = narrow<V>(x[c] * widen(factor[c]));
}

// Adds coef dQ/da of member e to the drift of those rows whose reduced value depends on it; only these are computed.
template <typename S, typename H>
HOST_DEVICE void backward(const cpu::ChainMove<H>& args, const Place& at, int64_t e, const Workspace<H>& work) {
  const LangevinChain& chain = args.chain;
  const ChainGroup& group = chain.group[at.group];
  const PackedMember<H> member = member_of(args, at, e);
  const int64_t width = padded(group.width), hidden = group.layers - 1, size = at.rows * width;
  const float coef = group.coef(args.move, at.run);
  int64_t count = 0;
  for (int64_t i = 0; i < at.rows; ++i) {
    const float weight =
        reduce_weight(group.reduce, Strided{work.q + i, at.rows}, group.members, e, group.member[at.run]);
    if (weight == 0.0f) continue;
    work.index[count] = static_cast<int32_t>(i), work.weight[count++] = coef * weight;
  }
  const H* slope = work.slope + (e * hidden + hidden - 1) * size;
  for (int64_t i = 0; i < count; ++i) {
    const H* from = slope + work.index[i] * width;
    scale(member.out, from, work.hidden + i * width, width);
  }
  for (int64_t l = hidden - 1; l > 0; --l) {
    multiply<S>(work.hidden, width, member.backward + (l - 1) * width * width, width, work.product, count, width);
    slope -= size;
    for (int64_t i = 0; i < count; ++i) {
      const H* from = slope + work.index[i] * width;
      float* product = work.product + i * width;
      l > 1 ? scale(product, from, work.hidden + i * width, width) : scale(product, from, product, width);
    }
  }
  for (int64_t i = 0; i < count; ++i) {
    float* drift = args.drift + (at.run * chain.batch + at.first + work.index[i]) * chain.action_dim;
    for (int64_t j = 0; j < chain.action_dim; ++j)
      drift[j] += work.weight[i] * dot<S>(work.product + i * width, member.action + j * width, width);
  }
}

}  // namespace pyslsac
