// quantile_features in bfloat16 on the CPU: some states at a time, with all their columns.
#pragma once

#include "bf16_panel.h"
#include "dense_sinks.h"
#include "scratch.h"
#include "sinks.h"
#include "slab.h"

namespace pyslsac {

// Some states of one run, about kStateRows rows of quantiles, and room for what lies between their products.
template <typename S>
struct DenseStates {
  static constexpr int64_t kStateRows = 256;
  const QuantileFeatures<float>& a;
  const int64_t most;                        // states at a time
  float *phi, *joint, *grad, *panel, *bf16;  // [rows, K] twice, [rows, H], and for the products

  HOST_DEVICE explicit DenseStates(const QuantileFeatures<float>& args)
      : a(args), most(std::max<int64_t>(1, kStateRows / std::max<int64_t>(1, args.quantiles))) {
    const int64_t rows = most * a.quantiles, widest = std::max({a.width, a.outputs, a.inputs, rows});
    const int64_t panels = 2 * widest * Lanes<S>::kPanel + widest;
    phi = scratch(rows * (2 * a.width + a.outputs) + panels + Bf16Memory::size(widest, widest, widest));
    joint = phi + rows * a.width, grad = joint + rows * a.width, panel = grad + rows * a.outputs;
    bf16 = panel + panels;
  }

  HOST_DEVICE const float* cosines(int64_t s) const { return a.cosines + s * a.quantiles * a.inputs; }

  HOST_DEVICE void visit(int64_t s, int64_t states, float* phi) const {
    const int64_t run = s / a.batch;
    const JointSink sink{
        phi, joint, a.width, static_cast<uint32_t>(a.quantiles), a.phi_bias + run * a.width, a.psi + s * a.width};
    bf16_by_columns<S>(cosines(s), a.inputs, 1, a.inputs, a.phi_weight + run * a.inputs * a.width, a.width, bf16, panel,
                       sink, states * a.quantiles, a.width);
  }

  HOST_DEVICE void forward(int64_t s, int64_t states) const {
    const int64_t run = s / a.batch;
    visit(s, states, nullptr);
    const Enter sink{a.features + s * a.quantiles * a.outputs, a.outputs, a.bias + run * a.outputs, true};
    bf16_by_columns<S>(joint, a.width, 1, a.width, a.weight + run * a.width * a.outputs, a.outputs, bf16, panel, sink,
                       states * a.quantiles, a.outputs);
  }

  // psi's gradient; the weights' are added to the slab.
  HOST_DEVICE void backward(const QuantileFeaturesGrad<float>& args, int64_t s, int64_t states,
                            const Slab<float>& slab) const {
    const int64_t rows = states * a.quantiles, first = s * a.quantiles * a.outputs;
    visit(s, states, phi);
    for (int64_t i = 0; i < rows * a.outputs; ++i) grad[i] = relu_grad(a.features[first + i], args.grad[first + i]);
    float* const psi_grad = args.psi + s * a.width;
    std::fill(psi_grad, psi_grad + states * a.width, 0.0f);
    const PhiGradSink sink{psi_grad,           phi, slab.phi_bias, a.width, static_cast<uint32_t>(a.quantiles),
                           a.psi + s * a.width};
    bf16_by_rows<S>(grad, a.outputs, a.weight + s / a.batch * a.width * a.outputs, bf16, panel, sink, rows, a.width);
    for (int64_t i = 0; i < states * a.width; ++i) psi_grad[i] = is_active(a.psi[s * a.width + i]) ? psi_grad[i] : 0.0f;
    if (!slab.weight) return;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t h = 0; h < a.outputs; ++h) slab.bias[h] += grad[i * a.outputs + h];
    bf16_by_columns<S>(joint, 1, a.width, rows, grad, a.outputs, bf16, panel, Gather{slab.weight, a.outputs, true},
                       a.width, a.outputs);
    bf16_by_columns<S>(phi, 1, a.width, rows, cosines(s), a.inputs, bf16, panel,
                       Gather{slab.phi_weight, a.inputs, true}, a.width, a.inputs);
  }

  // visitor(s, states) of states begin .. end - 1, of one run at a time.
  template <typename Visitor>
  HOST_DEVICE void each(int64_t begin, int64_t end, const Visitor& visitor) const {
    for (int64_t s = begin, states; s < end; s += states) {
      states = std::min({most, end - s, a.batch - s % a.batch});
      visitor(s, states);
    }
  }
};

}  // namespace pyslsac
