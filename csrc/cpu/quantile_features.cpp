#include "../quantile_features.h"

#include <type_traits>

#include "active_backward.h"
#include "dense_states.h"

namespace pyslsac {

namespace {

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

template <typename S, typename T>
HOST_DEVICE void backward(const QuantileFeaturesGrad<T>& args, int64_t begin, int64_t end) {
  ActiveState<S, T> state(args.forward, true);
  each_slab(
      args, begin, end, [&](int64_t first, int64_t last, const Slab<T>& slab) __attribute__((always_inline)) {
        for (int64_t s = first; s < last; ++s) backward_state(args, state, s, slab);
      });
}

// In bfloat16, with all columns. Apart, so that float32's loops are compiled as if it were not there.
template <typename S>
HOST_DEVICE void dense_forward(const QuantileFeatures<float>& a, int64_t begin, int64_t end) {
  const DenseStates<S> dense(a);
  dense.each(begin, end, [&](int64_t s, int64_t states) __attribute__((always_inline)) { dense.forward(s, states); });
}

template <typename S>
HOST_DEVICE void dense_backward(const QuantileFeaturesGrad<float>& args, int64_t begin, int64_t end) {
  const DenseStates<S> dense(args.forward);
  each_slab(
      args, begin, end, [&](int64_t first, int64_t last, const Slab<float>& slab) __attribute__((always_inline)) {
        dense.each(
            first, last, [&](int64_t s, int64_t states) __attribute__((always_inline)) {
              dense.backward(args, s, states, slab);
            });
      });
}

#define LEVEL(target, S, pass, Args) \
  target void pass(const Args& args, int64_t begin, int64_t end) { pass<S>(args, begin, end); }
SIMD_LEVELS(LEVEL, forward, QuantileFeatures<float>)
SIMD_LEVELS(LEVEL, forward, QuantileFeatures<double>)
SIMD_LEVELS(LEVEL, backward, QuantileFeaturesGrad<float>)
SIMD_LEVELS(LEVEL, backward, QuantileFeaturesGrad<double>)
SIMD_LEVELS(LEVEL, dense_forward, QuantileFeatures<float>)
SIMD_LEVELS(LEVEL, dense_backward, QuantileFeaturesGrad<float>)

}  // namespace

namespace cpu {

template <typename T>
int64_t quantile_features_scratch(const QuantileFeatures<T>& args) {
  return args.runs * kSlabs * Slab<T>::size(args);
}

template <typename T>
void quantile_features(const QuantileFeatures<T>& args, int64_t begin, int64_t end) {
  if constexpr (std::is_same_v<T, float>)
    if (args.bf16) return dense_forward(args, begin, end);
  forward(args, begin, end);
}

template <typename T>
void quantile_features_backward(const QuantileFeaturesGrad<T>& args, int64_t begin, int64_t end) {
  if constexpr (std::is_same_v<T, float>)
    if (args.forward.bf16) return dense_backward(args, begin, end);
  backward(args, begin, end);
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

#define INSTANTIATE(T)                                                                        \
  template int64_t quantile_features_scratch(const QuantileFeatures<T>&);                     \
  template void quantile_features(const QuantileFeatures<T>&, int64_t, int64_t);              \
  template void quantile_features_backward(const QuantileFeaturesGrad<T>&, int64_t, int64_t); \
  template void quantile_features_weights(const QuantileFeaturesGrad<T>&, int64_t, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace cpu
}  // namespace pyslsac
