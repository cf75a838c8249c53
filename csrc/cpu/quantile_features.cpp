#include "../quantile_features.h"

#include "active_state.h"

namespace pyslsac {

namespace {

template <typename T>
struct ReluSink {  // features of row i, ReLU(sum + bias)
  T* to;
  int64_t stride;
  const T* bias;
  template <typename V>
  HOST_DEVICE void operator()(int64_t i, int64_t c, V sum) const {
    store(to + i * stride + c, relu(sum + load<V>(bias + c)));
  }
};

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

template <typename S, typename T>
HOST_DEVICE void forward(const QuantileFeatures<T>& a, int64_t begin, int64_t end) {
  ActiveState<S, T> state(a, false);
  for (int64_t s = begin; s < end; ++s) {
    const int64_t run = s / a.batch;
    state.visit(s);
    const Picked<const T> weight{a.weight + run * a.width * a.outputs, a.outputs, state.active.data()};
    const ReluSink<T> sink{a.features + s * a.quantiles * a.outputs, a.outputs, a.bias + run * a.outputs};
    product<S, T>(Rows<const T>{state.joint, 1}, state.lanes, state.count, weight, sink, a.quantiles, a.outputs);
  }
}

// A slab's gradients: weight [K, H], phi_weight with its axes swapped [K, C], phi_bias [K], bias [H].
template <typename T>
struct Slab {
  T *weight, *phi_weight, *phi_bias, *bias;
  static int64_t size(const QuantileFeatures<T>& a) { return a.width * (a.outputs + a.inputs + 1) + a.outputs; }
  Slab(const QuantileFeatures<T>& a, T* data)
      : weight(data),
        phi_weight(weight + a.width * a.outputs),
        phi_bias(phi_weight + a.width * a.inputs),
        bias(phi_bias + a.width) {}
};

template <typename S, typename T>
HOST_DEVICE void backward_state(const QuantileFeaturesGrad<T>& args, ActiveState<S, T>& state, int64_t s,
                                const Slab<T>* slab) {
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
    if (!slab) continue;
    for (int64_t n = 0; n < lanes; ++n) d[n] = relu_grad(phi[n], psi[k] * d[n]);
    slab->phi_bias[k] += sum(d, lanes);
  }
  if (!slab) return;
  for (int64_t n = 0; n < a.quantiles; ++n)
    for (int64_t h = 0; h < outputs; ++h) slab->bias[h] += state.grad_rows[n * outputs + h];
  product<S, T>(Rows<const T>{state.joint, lanes}, 1, a.quantiles, Rows<const T>{state.grad_rows, outputs},
                AddSink<T>{slab->weight, outputs, active}, state.count, outputs);
  product<S, T>(Rows<const T>{state.joint_grad, lanes}, 1, a.quantiles,
                Rows<const T>{a.cosines + s * a.quantiles * a.inputs, a.inputs},
                AddSink<T>{slab->phi_weight, a.inputs, active}, state.count, a.inputs);
}

template <typename S, typename T>
HOST_DEVICE void backward(const QuantileFeaturesGrad<T>& args, int64_t begin, int64_t end) {
  const QuantileFeatures<T>& a = args.forward;
  ActiveState<S, T> state(a, true);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t run = unit / cpu::kSlabs, part = unit % cpu::kSlabs, size = Slab<T>::size(a);
    T* data = args.weights ? args.scratch + unit * size : nullptr;
    const Slab<T> slab(a, data);
    if (data) std::fill(data, data + size, T{});
    for (int64_t b = part * a.batch / cpu::kSlabs; b < (part + 1) * a.batch / cpu::kSlabs; ++b)
      backward_state(args, state, run * a.batch + b, data ? &slab : nullptr);
  }
}

// Bodies for every SIMD level: the registers of each hold a tile. The loader picks among functions of one name.
#define LEVEL(target, S, T)                                                                              \
  target void forward_at(const QuantileFeatures<T>& args, int64_t begin, int64_t end) {                  \
    forward<S>(args, begin, end);                                                                        \
  }                                                                                                      \
  target void backward_at(const QuantileFeaturesGrad<T>& args, int64_t begin, int64_t end) {             \
    backward<S>(args, begin, end);                                                                       \
  }
#define LEVELS(T) SIMD_LEVELS(LEVEL, T)
LEVELS(float)
LEVELS(double)

}  // namespace

namespace cpu {

template <typename T>
int64_t quantile_features_scratch(const QuantileFeatures<T>& args) {
  return args.runs * kSlabs * Slab<T>::size(args);
}

template <typename T>
void quantile_features(const QuantileFeatures<T>& args, int64_t begin, int64_t end) {
  forward_at(args, begin, end);
}

template <typename T>
void quantile_features_backward(const QuantileFeaturesGrad<T>& args, int64_t begin, int64_t end) {
  backward_at(args, begin, end);
}

template <typename T>
void quantile_features_weights(const QuantileFeaturesGrad<T>& args, int64_t begin, int64_t end) {
  const QuantileFeatures<T>& a = args.forward;
  const int64_t rows = a.width + 1, size = Slab<T>::size(a);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t run = unit / rows, k = unit % rows;
    T* first = args.scratch + run * kSlabs * size;
    auto add = [&](auto part, int64_t offset, int64_t count, T* to, int64_t stride) {
      for (int64_t i = 0; i < count; ++i) {
        T total{};
        for (int64_t slab = 0; slab < kSlabs; ++slab) total += (Slab<T>(a, first + slab * size).*part)[offset + i];
        to[i * stride] = total;
      }
    };
    if (k == a.width) {
      add(&Slab<T>::bias, 0, a.outputs, args.bias + run * a.outputs, 1);
    } else {
      add(&Slab<T>::weight, k * a.outputs, a.outputs, args.weight + (run * a.width + k) * a.outputs, 1);
      add(&Slab<T>::phi_weight, k * a.inputs, a.inputs, args.phi_weight + run * a.inputs * a.width + k, a.width);
      add(&Slab<T>::phi_bias, k, 1, args.phi_bias + run * a.width + k, 1);
    }
  }
}

#define INSTANTIATE(T)                                                                      \
  template int64_t quantile_features_scratch(const QuantileFeatures<T>&);                   \
  template void quantile_features(const QuantileFeatures<T>&, int64_t, int64_t);            \
  template void quantile_features_backward(const QuantileFeaturesGrad<T>&, int64_t, int64_t); \
  template void quantile_features_weights(const QuantileFeaturesGrad<T>&, int64_t, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace cpu
}  // namespace pyslsac
