// implicit_quantiles in bfloat16 on the CPU: some states at a time, with all their columns. Here what both directions
// do.
#pragma once

#include "../cosine.h"
#include "bf16_product.h"
#include "bf16_vector.h"
#include "dense_room.h"

namespace pyslsac {

template <typename S>
struct DenseStates {
  using V = typename Lanes<S>::V;
  using Bits = LanesOf<V, uint32_t>;
  static constexpr int64_t kVector = Lanes<S>::kVector, kHalf = DenseRoom::kHalf;
  const ImplicitQuantiles<float>& a;
  const DenseRoom room;
  int64_t packed = -1;  // the run whose layers are
  Bf16Unit unit;

  HOST_DEVICE DenseStates(const ImplicitQuantiles<float>& args, bool backward) : a(args), room(args, backward) {}

  // pass(s, count, more ...) of states begin .. end - 1, of one run at a time, after pass.pack(run).
  template <typename Pass, typename... More>
  HOST_DEVICE void each(int64_t begin, int64_t end, Pass& pass, const More&... more) {
    for (int64_t s = begin, count; s < end; s += count) {
      if (packed != s / a.batch) pass.pack(packed = s / a.batch);
      count = std::min({room.states, end - s, a.batch - s % a.batch});
      pass(s, count, more...);
    }
  }

  HOST_DEVICE static void pad(const float* from, int64_t count, float* to, int64_t whole) {
    std::copy(from, from + count, to), std::fill(to + count, to + whole, 0.0f);
  }

  HOST_DEVICE void pack_phi(int64_t run) {
    const float* const w1 = a.phi_weight + run * a.inputs * a.width;
    narrow_left<S>(w1, 1, a.width, a.width, a.inputs, room.phi_weight, room.pairs);
    pad(a.phi_bias + run * a.width, a.width, room.phi_bias, room.width);
  }

  // each(i, c, x, y): the sums of rows i and i + 1, of the 32 columns from c on.
  template <typename Each>
  HOST_DEVICE void multiply(const Bfloat16* left, int64_t rows, int64_t depth, const uint32_t* right, int64_t columns,
                            const Each& each) {
    float* const sum = room.sum;
    for (int64_t c = 0; c < columns; c += kTileSide, right += depth / 2 * kTileSide)
      for (int64_t first = 0; first < rows; first += kSumRows) {
        const int64_t count = std::min(kSumRows, rows - first);
        bf16_product(unit, LeftFactor::in_blocks(left + first * depth, depth), reinterpret_cast<const Bfloat16*>(right),
                     depth, sum, kTileSide, count);
        for (int64_t i = 0; i < count; i += 2) each(first + i, c, sum + i * kTileSide, sum + (i + 1) * kTileSide);
      }
  }

  // each(k, c, x, y, psi): phi of units k and k + 1 in the columns of a vector from c on, all of one state, and its
  // psi.
  template <typename Each>
  HOST_DEVICE void visit(int64_t s, int64_t count, const Each& each) {
    const DenseRoom r = room;
    for (int64_t t = 0; t < r.places; ++t) {
      float* const psi = r.psi + t * r.width;
      pad(a.psi + (s + t) * a.width, t < count ? a.width : 0, psi, r.width);
      for (int64_t k = 0; k < r.width; ++k) psi[k] = relu(psi[k]);
    }
    std::fill(r.tau, r.tau + r.columns, 0.0f);
    for (int64_t t = 0; t < count; ++t) std::copy_n(a.tau + (s + t) * a.fractions, a.fractions, r.tau + t * r.lanes);
    for (int64_t c = 0; c < r.columns; c += kVector) {
      uint32_t* const to = r.cosines + c / kTileSide * kTileSide * r.inputs / 2 + c % kTileSide;
      const V tau = load<V>(r.tau + c);
      for (int64_t i = 0; i < r.inputs; i += 2)
        store_pairs<S>(to + i / 2 * kTileSide, cosine<float>(tau, static_cast<float>(i)),
                       cosine<float>(tau, static_cast<float>(i + 1)));
    }
    multiply(
        r.phi_weight, r.width, r.inputs, r.cosines,
        r.columns, [&](int64_t k, int64_t c, const float* x, const float* y) __attribute__((always_inline)) {
          for (int64_t j = 0; j < kTileSide; j += kVector) {
            const float* const psi = r.psi + (c + j) / r.lanes * r.width + k;
            each(k, c + j, relu(load<V>(x + j) + r.phi_bias[k]), relu(load<V>(y + j) + r.phi_bias[k + 1]), psi);
          }
        });
  }
};

}  // namespace pyslsac
