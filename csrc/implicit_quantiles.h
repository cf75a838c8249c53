// implicit_quantiles: quantiles = features w, features = ReLU((psi * phi) W2 + b2), phi = ReLU(cosines W1 + b1), and
// its derivatives; cosines are cos(pi i tau), i < C. A column of psi that is not above 0 is 0 for all N quantiles of
// its state, and nothing flows back through it: both directions visit the other columns only, the active ones.
#pragma once

#include <cstdint>

#include "platform.h"

namespace pyslsac {

template <typename T>
struct ImplicitQuantiles {
  const T* psi;         // [G, B, K]
  const T* tau;         // [G, B, N]
  const T* phi_weight;  // [G, C, K], W1
  const T* phi_bias;    // [G, K], b1
  const T* weight;      // [G, K, H], W2
  const T* bias;        // [G, H], b2
  const T* head;        // [G, H], w
  T* quantiles;         // [G, B, N]
  uint32_t* active;     // [G, B, N, words(H)], null where there is no way back: a bit for each feature above 0
  int64_t runs;         // G
  int64_t batch;        // B
  int64_t fractions;    // N
  int64_t inputs;       // C
  int64_t width;        // K
  int64_t outputs;      // H
  T* cosines;           // [G, B, N, C], room for them on CUDA
  bool bf16;            // factors are rounded to bfloat16; on the CPU alone, of float32
};

template <typename T>
struct ImplicitQuantilesGrad {
  ImplicitQuantiles<T> forward;  // of it `weight` is W2 w; phi is made anew: that costs less than keeping it
  const T* grad;                 // [G, B, N], by the quantiles
  T* psi;                        // the derivatives, shaped as what they are taken by
  T* phi_weight;
  T* phi_bias;
  T* weight;  // both by the features' argument alone: as if w were 1
  T* bias;
  T* scratch;    // implicit_quantiles_scratch elements
  bool weights;  // false: psi alone, all pointers after it are null
};

template <typename T>
HOST_DEVICE bool is_active(T psi) {
  return !(psi <= 0);  // a NaN is, and stays one
}
template <typename T>
HOST_DEVICE T relu(T x) {
  return x < T{} ? T{} : x;
}
// Of `count` bits, 32 to a word.
HOST_DEVICE int64_t words(int64_t count) { return (count + 31) / 32; }
// The gradient by x, given the gradient by y = ReLU(x).
template <typename T>
HOST_DEVICE T relu_grad(T y, T grad) {
  return y <= T{} ? T{} : grad;
}

namespace cpu {
constexpr int64_t kSlabs = 8;  // parts of a run's states whose weight gradients are added apart, then in this order
template <typename T>
int64_t implicit_quantiles_scratch(const ImplicitQuantiles<T>& args);
template <typename T>  // states begin .. end - 1 of G B
void implicit_quantiles(const ImplicitQuantiles<T>& args, int64_t begin, int64_t end);
template <typename T>  // slabs begin .. end - 1 of G kSlabs
void implicit_quantiles_backward(const ImplicitQuantilesGrad<T>& args, int64_t begin, int64_t end);
template <typename T>  // rows begin .. end - 1 of G (K + 1): the weights of column k, and last the outputs' bias
void implicit_quantiles_weights(const ImplicitQuantilesGrad<T>& args, int64_t begin, int64_t end);
}  // namespace cpu

namespace cuda {
template <typename T>
int64_t implicit_quantiles_scratch(const ImplicitQuantiles<T>& args);
template <typename T>
void implicit_quantiles(const ImplicitQuantiles<T>& args, void* stream);
template <typename T>
void implicit_quantiles_backward(const ImplicitQuantilesGrad<T>& args, void* stream);
template <typename T>
void implicit_quantiles_weights(const ImplicitQuantilesGrad<T>& args, void* stream);
}  // namespace cuda

}  // namespace pyslsac
