// The backward pass of quantile_features through one state on the CPU.
#pragma once

#include "active_state.h"
#include "slab.h"

namespace pyslsac {

template <typename T>
struct StoreSink {
  T* to;
  int64_t stride;
  template <typename V>
  HOST_DEVICE void operator()(int64_t i, int64_t c, V sum) const {
    store(to + i * stride + c, sum);
  }
};

template <typename T>
struct AddSink {  // row active[i] += sum
  T* to;
  int64_t stride;
  const int32_t* active;
  template <typename V>
  HOST_DEVICE void operator()(int64_t i, int64_t c, V sum) const {
    T* at = to + active[i] * stride + c;
    store(at, load<V>(at) + sum);
  }
};

// psi's gradient of state s; the weights' are added to the slab.
template <typename S, typename T>
HOST_DEVICE void backward_state(const QuantileFeaturesGrad<T>& args, ActiveState<S, T>& state, int64_t s,
                                const Slab<T>& slab) {
  const QuantileFeatures<T>& a = args.forward;
  const int64_t outputs = a.outputs, size = a.quantiles * outputs, lanes = state.lanes;
  const int32_t* active = state.active.data();
  state.visit(s);
  const T *features = a.features + s * size, *grad = args.grad + s * size;
  for (int64_t i = 0; i < size; ++i) state.grad_rows[i] = relu_grad(features[i], grad[i]);
  transpose(state.grad_rows, a.quantiles, outputs, state.grad_columns, lanes);
  product<S, T>(Picked<const T>{a.weight + s / a.batch * a.width * outputs, outputs, active}, 1, outputs,
                Rows<const T>{state.grad_columns, lanes}, StoreSink<T>{state.joint_grad, lanes}, state.count, lanes);

  const T* psi = a.psi + s * a.width;
  T* psi_grad = args.psi + s * a.width;
  std::fill(psi_grad, psi_grad + a.width, T{});
  for (int64_t i = 0; i < state.count; ++i) {
    const int64_t k = active[i];
    const T* phi = state.phi + i * lanes;
    T* d = state.joint_grad + i * lanes;
    psi_grad[k] = sum(phi, d, lanes);
    if (!slab.weight) continue;
    for (int64_t n = 0; n < lanes; ++n) d[n] = relu_grad(phi[n], psi[k] * d[n]);
    slab.phi_bias[k] += sum(d, lanes);
  }
  if (!slab.weight) return;
  for (int64_t n = 0; n < a.quantiles; ++n)
    for (int64_t h = 0; h < outputs; ++h) slab.bias[h] += state.grad_rows[n * outputs + h];
  product<S, T>(Rows<const T>{state.joint, lanes}, 1, a.quantiles, Rows<const T>{state.grad_rows, outputs},
                AddSink<T>{slab.weight, outputs, active}, state.count, outputs);
  product<S, T>(Rows<const T>{state.joint_grad, lanes}, 1, a.quantiles,
                Rows<const T>{a.cosines + s * a.quantiles * a.inputs, a.inputs},
                AddSink<T>{slab.phi_weight, a.inputs, active}, state.count, a.inputs);
}

}  // namespace pyslsac
