// Where the sums of quantile_features go when all columns are multiplied.
#pragma once

#include "../quantile_features.h"
#include "simd.h"

namespace pyslsac {

struct JointSink {  // psi phi of the rows of some states, and phi where there is room for it
  float *phi, *joint;
  int64_t width;
  uint32_t quantiles;
  const float *bias, *psi;
  HOST_DEVICE JointSink from(int64_t c) const {
    return {phi ? phi + c : nullptr, joint + c, width, quantiles, bias + c, psi + c};
  }
  template <typename V>
  HOST_DEVICE void operator()(int64_t i, int64_t c, V sum) const {
    const V y = relu(sum + load<V>(bias + c));
    if (phi) store(phi + i * width + c, y);
    store(joint + i * width + c, y * relu(load<V>(psi + static_cast<uint32_t>(i) / quantiles * width + c)));
  }
};

struct PhiGradSink {  // psi's gradient, and in the place of phi, unless there is no bias for it, phi's by its sum
  float *psi_grad, *phi, *bias_grad;
  int64_t width;
  uint32_t quantiles;
  const float *psi;
  HOST_DEVICE PhiGradSink from(int64_t c) const {
    return {psi_grad + c, phi + c, bias_grad ? bias_grad + c : nullptr, width, quantiles, psi + c};
  }
  template <typename V>
  HOST_DEVICE void operator()(int64_t i, int64_t c, V sum) const {
    const int64_t state = static_cast<uint32_t>(i) / quantiles * width + c;
    const V y = load<V>(phi + i * width + c);
    store(psi_grad + state, load<V>(psi_grad + state) + y * sum);
    if (!bias_grad) return;
    const V grad = relu_grad(y, relu(load<V>(psi + state)) * sum);
    store(phi + i * width + c, grad), store(bias_grad + c, load<V>(bias_grad + c) + grad);
  }
};

}  // namespace pyslsac
