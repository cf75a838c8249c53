// One state of implicit_quantiles on the CPU: its active columns packed side by side, quantiles innermost.
#pragma once

#include <vector>

#include "../cosine.h"
#include "active_bits.h"
#include "four.h"
#include "tile.h"

namespace pyslsac {

template <typename T>
struct PhiSink {  // phi and psi phi of active column i
  T *phi, *joint;
  int64_t lanes;
  const T *bias, *psi;
  const int32_t* active;
  template <typename V>
  HOST_DEVICE void operator()(int64_t i, int64_t n, V sum) const {
    const V y = relu(sum + bias[active[i]]);
    store(phi + i * lanes + n, y);
    store(joint + i * lanes + n, y * psi[active[i]]);
  }
};

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

template <typename S, typename T>
struct ActiveState {
  static constexpr int64_t kLanes = std::max<int64_t>(4, S::kBytes / 2 / sizeof(T));
  using V = typename VectorOf<T, kLanes * sizeof(T)>::type;
  const ImplicitQuantiles<T>& args;
  const int64_t lanes;  // N rounded up to half vectors, and to fours
  int64_t count = 0;    // of active columns
  std::vector<int32_t> active;
  std::vector<T> memory;
  T *tau, *cosines;                       // [lanes], past the fractions zeros, [C, lanes]
  T *phi, *joint, *rows;                  // [count, lanes] twice, [N, H]
  T *columns, *joint_grad, *cosine_rows;  // for the way back: [H, lanes], [count, lanes], [lanes, C]

  HOST_DEVICE ActiveState(const ImplicitQuantiles<T>& a, bool backward)
      : args(a), lanes((a.fractions + kLanes - 1) / kLanes * kLanes), active(a.width) {
    memory.resize(lanes * (1 + a.inputs + 2 * a.width) + a.fractions * a.outputs +
                  backward * lanes * (a.width + a.outputs + a.inputs) + 64);
    tau = reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
    cosines = tau + lanes;
    phi = cosines + lanes * a.inputs;
    joint = phi + lanes * a.width;
    rows = joint + lanes * a.width;
    columns = rows + a.fractions * a.outputs;
    joint_grad = columns + lanes * a.outputs;
    cosine_rows = joint_grad + lanes * a.width;
  }

  // Packs state s: its active columns, and phi and psi phi there.
  HOST_DEVICE void visit(int64_t s) {
    const int64_t width = args.width, run = s / args.batch;
    const T* psi = args.psi + s * width;
    count = 0;
    for (int64_t k = 0; k < width; ++k) {
      active[count] = static_cast<int32_t>(k);
      count += is_active(psi[k]);
    }
    std::copy_n(args.tau + s * args.fractions, args.fractions, tau);
    for (int64_t i = 0; i < args.inputs; ++i)
      for (int64_t n = 0; n < lanes; n += kLanes)
        store(cosines + i * lanes + n, cosine<T>(load<V>(tau + n), static_cast<T>(i)));
    const Picked<const T> columns{args.phi_weight + run * args.inputs * width, 1, active.data()};
    const PhiSink<T> sink{phi, joint, lanes, args.phi_bias + run * width, psi, active.data()};
    product<S, T>(columns, width, args.inputs, Rows<const T>{cosines, lanes}, sink, count, lanes);
  }
};

}  // namespace pyslsac
