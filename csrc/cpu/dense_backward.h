// implicit_quantiles in bfloat16 on the CPU, backward.
#pragma once

#include "dense_states.h"
#include "slab.h"

namespace pyslsac {

// The pairs of 1 or 0 that bits 0 and 1 of x stand for, or bit 0 of x and of y.
template <typename Bits>
HOST_DEVICE Bits ones(Bits x, Bits y) {
  return (-(x & 1) & 0x3F80) | (-(y & 1) & 0x3F800000);
}

template <typename S>
struct DenseBackward : DenseStates<S> {
  using Base = DenseStates<S>;
  using Base::a, Base::kVector, Base::kHalf;
  using typename Base::Bits, typename Base::V;
  const ImplicitQuantilesGrad<float>& args;

  HOST_DEVICE explicit DenseBackward(const ImplicitQuantilesGrad<float>& grad) : Base(grad.forward, true), args(grad) {}

  HOST_DEVICE void pack(int64_t run) {
    const float* const w2 = a.weight + run * a.width * a.outputs;
    this->pack_phi(run);
    narrow_left<S>(w2, a.outputs, 1, a.width, a.outputs, this->room.weight, this->room.pairs);
  }

  // psi's gradient; the weights' are added to the slab.
  HOST_DEVICE void operator()(int64_t s, int64_t count, const Slab<float>& slab) {
    const DenseRoom r = this->room;
    enter(s, count);
    this->visit(
        s, count, [&](int64_t k, int64_t c, V x, V y, const float* psi) __attribute__((always_inline)) {
          const V grad = load<V>(r.grad + c);
          store(r.phi + k * r.columns + c, x), store(r.phi + (k + 1) * r.columns + c, y);
          if (!slab.weight) return;
          store_row<S>(r.joint_grad + in_block(k, c, r.columns), psi[0] * x * grad);
          store_row<S>(r.joint_grad + in_block(k + 1, c, r.columns), psi[1] * y * grad);
        });
    leave(slab.weight);
    for (int64_t t = 0; t < count; ++t)
      for (int64_t k = 0, at = (s + t) * a.width; k < a.width; ++k, ++at)
        args.psi[at] = is_active(a.psi[at]) ? r.psi_grad[t * r.width + k] : 0.0f;
    if (slab.weight) weights(slab);
  }

 private:
  // The gradient, and what is active as a right factor.
  HOST_DEVICE void enter(int64_t s, int64_t count) {
    const DenseRoom r = this->room;
    std::fill(r.grad, r.grad + r.columns, 0.0f), std::fill(r.bits, r.bits + r.outputs / 32 * r.columns, 0u);
    const int64_t width = words(a.outputs);
    for (int64_t t = 0; t < count; ++t)
      for (int64_t n = 0, row = (s + t) * a.fractions, c = t * r.lanes; n < a.fractions; ++n, ++row, ++c) {
        r.grad[c] = args.grad[row];
        for (int64_t w = 0; w < width; ++w) r.bits[w * r.columns + c] = a.active[row * width + w];
      }
    for (int64_t c = 0; c < r.columns; c += kTileSide)
      for (int64_t h = 0; h < r.outputs; h += 2)
        for (int64_t j = 0; j < kTileSide; j += kVector) {
          const Bits x = load<Bits>(r.bits + h / 32 * r.columns + c + j) >> (h % 32);
          store(r.spread + (c * r.outputs + h * kTileSide) / 2 + j, ones(x, x >> 1));
        }
  }

  // From the features' argument to psi, and to phi's argument.
  HOST_DEVICE void leave(bool weights) {
    const DenseRoom r = this->room;
    std::fill(r.psi_grad, r.psi_grad + r.places * r.width, 0.0f);
    std::fill(r.phi_bias_grad, r.phi_bias_grad + r.width * kVector, 0.0f);
    const auto half_row = [=](int64_t k, int64_t c, const float* sum) __attribute__((always_inline)) {
      const int64_t state = c / r.lanes * r.width + k;
      V psi_grad{}, bias_grad{};
      for (int64_t j = 0; j < kHalf; j += kVector) {
        const V phi = load<V>(r.phi + k * r.columns + c + j), grad = load<V>(sum + j) * load<V>(r.grad + c + j);
        psi_grad += phi * grad;
        const V phi_grad = relu_grad(phi, r.psi[state] * grad);
        if (weights) store_row<S>(r.phi_grad + in_block(k, c + j, r.columns), phi_grad), bias_grad += phi_grad;
      }
      r.psi_grad[state] += total(psi_grad);
      if (weights) store(r.phi_bias_grad + k * kVector, load<V>(r.phi_bias_grad + k * kVector) + bias_grad);
    };
    this->multiply(
        r.weight, r.width, r.outputs, r.spread,
        r.columns, [&](int64_t k, int64_t c, const float* x, const float* y) __attribute__((always_inline)) {
          half_row(k, c, x), half_row(k, c + kHalf, x + kHalf);
          half_row(k + 1, c, y), half_row(k + 1, c + kHalf, y + kHalf);
        });
  }

  HOST_DEVICE void weights(const Slab<float>& slab) {
    const DenseRoom r = this->room;
    columns();
    for (int64_t k = 0; k < a.width; ++k) slab.phi_bias[k] += total(load<V>(r.phi_bias_grad + k * kVector));
    for (int64_t h = 0; h < a.outputs; ++h) slab.bias[h] += r.bias_grad[h];
    const auto add = [&](float* slab, int64_t ends) {
      return [ =, this ](int64_t k, int64_t c, const float* x, const float* y) __attribute__((always_inline)) {
        for (int64_t i = k; i < std::min(k + 2, a.width); ++i) {
          float* const to = slab + i * ends + c;
          const float* const from = i == k ? x : y;
          if (c + kTileSide <= ends)
            UNROLL for (int64_t j = 0; j < kTileSide; j += kVector) store(to + j, load<V>(to + j) + load<V>(from + j));
          else
            for (int64_t j = 0; j < ends - c; ++j) to[j] += from[j];
        }
      };
    };
    this->multiply(r.joint_grad, r.width, r.columns, r.spread_columns, r.outputs, add(slab.weight, a.outputs));
    this->multiply(r.phi_grad, r.width, r.columns, r.cosine_columns, r.inputs, add(slab.phi_weight, a.inputs));
  }

  // What is active, and the cosines, as right factors with the columns as depth; the gradient by bias.
  HOST_DEVICE void columns() {
    const DenseRoom r = this->room;
    Bits first;
    UNROLL for (int64_t i = 0; i < kVector; ++i) first[i] = static_cast<uint32_t>(i);
    std::fill(r.bias_grad, r.bias_grad + r.outputs, 0.0f);
    for (int64_t h = 0; h < r.outputs; h += kVector) {
      uint32_t* const to = r.spread_columns + h / kTileSide * kTileSide * r.columns / 2 + h % kTileSide;
      V grad{};
      const Bits lane = first + static_cast<uint32_t>(h % 32);
      for (int64_t c = 0; c < r.columns; c += 2) {
        const uint32_t* const word = r.bits + h / 32 * r.columns + c;
        const Bits x = (Bits{} + word[0]) >> lane, y = (Bits{} + word[1]) >> lane;
        store(to + c / 2 * kTileSide, ones(x, y));
        grad += (x & 1) ? V{} + r.grad[c] : V{};
        grad += (y & 1) ? V{} + r.grad[c + 1] : V{};
      }
      store(r.bias_grad + h, grad);
    }
    for (int64_t i = 0; i < r.inputs; i += kVector) {
      uint32_t* const to = r.cosine_columns + i / kTileSide * kTileSide * r.columns / 2 + i % kTileSide;
      const V order = __builtin_convertvector(first + static_cast<uint32_t>(i), V);
      for (int64_t c = 0; c < r.columns; c += 2)
        store_pairs<S>(to + c / 2 * kTileSide, cosine<float>(r.tau[c], order), cosine<float>(r.tau[c + 1], order));
    }
  }
};

}  // namespace pyslsac
