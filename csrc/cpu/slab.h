// The parts in which implicit_quantiles sums the gradients of its weights on the CPU.
#pragma once

#include <algorithm>

#include "../implicit_quantiles.h"

namespace pyslsac {

// A slab's gradients: weight [K, H], phi_weight with its axes swapped [K, C], phi_bias [K], bias [H]; null for none.
template <typename T>
struct Slab {
  T *weight = nullptr, *phi_weight = nullptr, *phi_bias = nullptr, *bias = nullptr;
  Slab() = default;
  static int64_t size(const ImplicitQuantiles<T>& a) { return a.width * (a.outputs + a.inputs + 1) + a.outputs; }
  Slab(const ImplicitQuantiles<T>& a, T* data)
      : weight(data),
        phi_weight(weight + a.width * a.outputs),
        phi_bias(phi_weight + a.width * a.inputs),
        bias(phi_bias + a.width) {}
};

// visitor(first, last, slab) of the states of slabs begin .. end - 1, which start as zeros; of none without weights.
template <typename T, typename Visitor>
HOST_DEVICE void each_slab(const ImplicitQuantilesGrad<T>& args, int64_t begin, int64_t end, const Visitor& visitor) {
  const ImplicitQuantiles<T>& a = args.forward;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t run = unit / cpu::kSlabs, part = unit % cpu::kSlabs, size = Slab<T>::size(a);
    const Slab<T> slab = args.weights ? Slab<T>(a, args.scratch + unit * size) : Slab<T>();
    if (args.weights) std::fill(slab.weight, slab.weight + size, T{});
    visitor(run * a.batch + part * a.batch / cpu::kSlabs, run * a.batch + (part + 1) * a.batch / cpu::kSlabs, slab);
  }
}

}  // namespace pyslsac
