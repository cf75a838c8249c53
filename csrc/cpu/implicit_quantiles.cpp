#include "../implicit_quantiles.h"

#include <type_traits>

#include "active_backward.h"
#include "dense_backward.h"
#include "dense_forward.h"
#include "panel.h"

namespace pyslsac {

namespace {

template <typename S, typename T>
HOST_DEVICE void forward(const ImplicitQuantiles<T>& a, int64_t begin, int64_t end) {
  ActiveState<S, T> state(a, false);
  for (int64_t s = begin; s < end; ++s) {
    const int64_t run = s / a.batch;
    state.visit(s);
    const Picked<const T> weight{a.weight + run * a.width * a.outputs, a.outputs, state.active.data()};
    const ReluSink<T> sink{state.rows, a.outputs, a.bias + run * a.outputs};
    product<S, T>(Rows<const T>{state.joint, 1}, state.lanes, state.count, weight, sink, a.fractions, a.outputs);
    for (int64_t n = 0, row = s * a.fractions; n < a.fractions; ++n, ++row) {
      const T* const features = state.rows + n * a.outputs;
      a.quantiles[row] = inner<S>(features, a.head + run * a.outputs, a.outputs);
      if (a.active) list_active(features, a.outputs, a.active + row * words(a.outputs));
    }
  }
}

template <typename S, typename T>
HOST_DEVICE void backward(const ImplicitQuantilesGrad<T>& args, int64_t begin, int64_t end) {
  ActiveState<S, T> state(args.forward, true);
  each_slab(
      args, begin, end, [&](int64_t first, int64_t last, const Slab<T>& slab) __attribute__((always_inline)) {
        for (int64_t s = first; s < last; ++s) backward_state(args, state, s, slab);
      });
}

// In bfloat16, with all columns. Apart, so that float32's loops are compiled as if it were not there.
template <typename S>
HOST_DEVICE void dense_forward(const ImplicitQuantiles<float>& a, int64_t begin, int64_t end) {
  at_level<S>([&](auto level) __attribute__((always_inline)) {
    DenseForward<decltype(level)> states(a);
    states.each(begin, end, states);
  });
}

template <typename S>
HOST_DEVICE void dense_backward(const ImplicitQuantilesGrad<float>& args, int64_t begin, int64_t end) {
  at_level<S>([&](auto level) __attribute__((always_inline)) {
    DenseBackward<decltype(level)> states(args);
    each_slab(
        args, begin, end, [&](int64_t first, int64_t last, const Slab<float>& slab) __attribute__((always_inline)) {
          states.each(first, last, states, slab);
        });
  });
}

#define LEVEL(target, S, pass, Args) \
  target void pass(const Args& args, int64_t begin, int64_t end) { pass<S>(args, begin, end); }
SIMD_LEVELS(LEVEL, forward, ImplicitQuantiles<float>)
SIMD_LEVELS(LEVEL, forward, ImplicitQuantiles<double>)
SIMD_LEVELS(LEVEL, backward, ImplicitQuantilesGrad<float>)
SIMD_LEVELS(LEVEL, backward, ImplicitQuantilesGrad<double>)
SIMD_LEVELS(LEVEL, dense_forward, ImplicitQuantiles<float>)
SIMD_LEVELS(LEVEL, dense_backward, ImplicitQuantilesGrad<float>)

}  // namespace

namespace cpu {

template <typename T>
int64_t implicit_quantiles_scratch(const ImplicitQuantiles<T>& args) {
  return args.runs * kSlabs * Slab<T>::size(args);
}

template <typename T>
void implicit_quantiles(const ImplicitQuantiles<T>& args, int64_t begin, int64_t end) {
  if constexpr (std::is_same_v<T, float>)
    if (args.bf16) return dense_forward(args, begin, end);
  forward(args, begin, end);
}

template <typename T>
void implicit_quantiles_backward(const ImplicitQuantilesGrad<T>& args, int64_t begin, int64_t end) {
  if constexpr (std::is_same_v<T, float>)
    if (args.forward.bf16) return dense_backward(args, begin, end);
  backward(args, begin, end);
}

template <typename T>
void implicit_quantiles_weights(const ImplicitQuantilesGrad<T>& args, int64_t begin, int64_t end) {
  const ImplicitQuantiles<T>& a = args.forward;
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

#define INSTANTIATE(T)                                                                          \
  template int64_t implicit_quantiles_scratch(const ImplicitQuantiles<T>&);                     \
  template void implicit_quantiles(const ImplicitQuantiles<T>&, int64_t, int64_t);              \
  template void implicit_quantiles_backward(const ImplicitQuantilesGrad<T>&, int64_t, int64_t); \
  template void implicit_quantiles_weights(const ImplicitQuantilesGrad<T>&, int64_t, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace cpu
}  // namespace pyslsac
