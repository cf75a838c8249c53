// implicit_quantiles in bfloat16 on the CPU, forward.
#pragma once

#include "dense_states.h"

namespace pyslsac {

template <typename S>
struct DenseForward : DenseStates<S> {
  using Base = DenseStates<S>;
  using Base::a, Base::kVector;
  using typename Base::Bits, typename Base::V;

  HOST_DEVICE explicit DenseForward(const ImplicitQuantiles<float>& args) : Base(args, false) {}

  HOST_DEVICE void pack(int64_t run) {
    const DenseRoom& r = this->room;
    this->pack_phi(run);
    narrow_left<S>(a.weight + run * a.width * a.outputs, 1, a.outputs, a.outputs, a.width, r.weight, r.pairs);
    Base::pad(a.bias + run * a.outputs, a.outputs, r.bias, r.outputs);
    Base::pad(a.head + run * a.outputs, a.outputs, r.head, r.outputs);
  }

  HOST_DEVICE void operator()(int64_t s, int64_t count) {
    const DenseRoom r = this->room;
    this->visit(
        s, count, [&](int64_t k, int64_t c, V x, V y, const float* psi) __attribute__((always_inline)) {
          const int64_t panel = c / kTileSide * kTileSide;
          store_pairs<S>(r.joint + (panel * r.width + k * kTileSide) / 2 + c - panel, x * psi[0], y * psi[1]);
        });
    std::fill(r.value, r.value + r.columns, 0.0f), std::fill(r.bits, r.bits + r.outputs / 32 * r.columns, 0u);
    this->multiply(
        r.weight, r.outputs, r.width, r.joint,
        r.columns, [&](int64_t h, int64_t c, const float* x, const float* y) __attribute__((always_inline)) {
          for (int64_t j = 0; j < kTileSide; j += kVector) {
            const V one = relu(load<V>(x + j) + r.bias[h]), two = relu(load<V>(y + j) + r.bias[h + 1]);
            float* const value = r.value + c + j;
            store(value, load<V>(value) + (r.head[h] * one + r.head[h + 1] * two));
            if (!a.active) continue;
            uint32_t* const bits = r.bits + h / 32 * r.columns + c + j;
            const Bits first = one <= V{} ? Bits{} : Bits{} + (1u << h % 32);
            store(bits, load<Bits>(bits) | first | (two <= V{} ? Bits{} : Bits{} + (2u << h % 32)));
          }
        });
    const int64_t width = words(a.outputs);
    for (int64_t t = 0; t < count; ++t)
      for (int64_t n = 0, row = (s + t) * a.fractions, c = t * r.lanes; n < a.fractions; ++n, ++row, ++c) {
        a.quantiles[row] = r.value[c];
        for (int64_t w = 0; a.active && w < width; ++w) a.active[row * width + w] = r.bits[w * r.columns + c];
      }
  }
};

}  // namespace pyslsac
