#include "../quantile_features.h"

#include <type_traits>

#include "dense_states.h"

namespace pyslsac {

namespace {

template <typename S, typename T>
HOST_DEVICE void forward(const QuantileFeatures<T>& a, int64_t begin, int64_t end) {
  if constexpr (std::is_same_v<T, float>)
    if (a.bf16) {
      const DenseStates<S> dense(a);
      return dense.each(
          begin, end, [&](int64_t s, int64_t states) __attribute__((always_inline)) { dense.forward(s, states); });
    }
  ActiveState<S, T> state(a, false);
  for (int64_t s = begin; s < end; ++s) {
    const int64_t run = s / a.batch;
    state.visit(s);
    const Picked<const T> weight{a.weight + run * a.width * a.outputs, a.outputs, state.active.data()};
    const ReluSink<T> sink{a.features + s * a.quantiles * a.outputs, a.outputs, a.bias + run * a.outputs};
    product<S, T>(Rows<const T>{state.joint, 1}, state.lanes, state.count, weight, sink, a.quantiles, a.outputs);
  }
}

// visitor(first, last, slab) of the states of each slab.
template <typename T, typename Visitor>
HOST_DEVICE void slabs(const QuantileFeaturesGrad<T>& args, int64_t begin, int64_t end, const Visitor& visitor) {
  const QuantileFeatures<T>& a = args.forward;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t run = unit / cpu::kSlabs, part = unit % cpu::kSlabs, size = Slab<T>::size(a);
    const Slab<T> slab = args.weights ? Slab<T>(a, args.scratch + unit * size) : Slab<T>();
    if (args.weights) std::fill(slab.weight, slab.weight + size, T{});
    visitor(run * a.batch + part * a.batch / cpu::kSlabs, run * a.batch + (part + 1) * a.batch / cpu::kSlabs, slab);
  }
}

template <typename S, typename T>
HOST_DEVICE void backward(const QuantileFeaturesGrad<T>& args, int64_t begin, int64_t end) {
  if constexpr (std::is_same_v<T, float>)
    if (args.forward.bf16) {
      const DenseStates<S> dense(args.forward);
      return slabs(
          args, begin, end, [&](int64_t first, int64_t last, const Slab<T>& slab) __attribute__((always_inline)) {
            dense.each(
                first, last, [&](int64_t s, int64_t states) __attribute__((always_inline)) {
                  dense.backward(args, s, states, slab);
                });
          });
    }
  ActiveState<S, T> state(args.forward, true);
  slabs(
      args, begin, end, [&](int64_t first, int64_t last, const Slab<T>& slab) __attribute__((always_inline)) {
        for (int64_t s = first; s < last; ++s) backward_state(args, state, s, slab);
      });
}

#define LEVEL(target, S, T)                                                                  \
  target void forward_at(const QuantileFeatures<T>& args, int64_t begin, int64_t end) {      \
    forward<S>(args, begin, end);                                                            \
  }                                                                                          \
  target void backward_at(const QuantileFeaturesGrad<T>& args, int64_t begin, int64_t end) { \
    backward<S>(args, begin, end);                                                           \
  }
SIMD_LEVELS(LEVEL, float)
SIMD_LEVELS(LEVEL, double)

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

#define INSTANTIATE(T)                                                                        \
  template int64_t quantile_features_scratch(const QuantileFeatures<T>&);                     \
  template void quantile_features(const QuantileFeatures<T>&, int64_t, int64_t);              \
  template void quantile_features_backward(const QuantileFeaturesGrad<T>&, int64_t, int64_t); \
  template void quantile_features_weights(const QuantileFeaturesGrad<T>&, int64_t, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace cpu
}  // namespace pyslsac
