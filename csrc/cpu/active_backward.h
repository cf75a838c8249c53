// The backward pass of implicit_quantiles through one state on the CPU.
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
HOST_DEVICE void backward_state(const ImplicitQuantilesGrad<T>& args, ActiveState<S, T>& state, int64_t s,
                                const Slab<T>& slab) {
  const ImplicitQuantiles<T>& a = args.forward;
  const int64_t outputs = a.outputs, lanes = state.lanes;
  const int32_t* active = state.active.data();
  state.visit(s);
  for (int64_t n = 0, row = s * a.fractions; n < a.fractions; ++n, ++row)
    spread_active(a.active + row * words(outputs), outputs, args.grad[row], state.rows + n * outputs);
  transpose(state.rows, a.fractions, outputs, state.columns, lanes);
  product<S, T>(Picked<const T>{a.weight + s / a.batch * a.width * outputs, outputs, active}, 1, outputs,
                Rows<const T>{state.columns, lanes}, StoreSink<T>{state.joint_grad, lanes}, state.count, lanes);

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
  for (int64_t n = 0; n < a.fractions; ++n)
    for (int64_t h = 0; h < outputs; ++h) slab.bias[h] += state.rows[n * outputs + h];
  product<S, T>(Rows<const T>{state.joint, lanes}, 1, a.fractions, Rows<const T>{state.rows, outputs},
                AddSink<T>{slab.weight, outputs, active}, state.count, outputs);
  transpose(state.cosines, a.inputs, lanes, state.cosine_rows, a.inputs);
  product<S, T>(Rows<const T>{state.joint_grad, lanes}, 1, a.fractions, Rows<const T>{state.cosine_rows, a.inputs},
                AddSink<T>{slab.phi_weight, a.inputs, active}, state.count, a.inputs);
}

}  // namespace pyslsac
