// Where the sums of a product go.
#pragma once

#include "simd.h"

namespace pyslsac {

struct Enter {  // out = sum + bias, or ReLU(sum + bias); the sum alone without a bias
  float* out;
  int64_t stride;
  const float* bias;
  bool relu;
  HOST_DEVICE Enter from(int64_t c) const { return {out + c, stride, bias ? bias + c : bias, relu}; }
  template <typename V>
  HOST_DEVICE void operator()(int64_t i, int64_t c, V sum) const {
    if (bias) sum += load<V>(bias + c);
    if (relu) sum = sum < V{} ? V{} : sum;
    store(out + i * stride + c, sum);
  }
};

struct Gather {  // out = sum, or out += sum
  float* out;
  int64_t stride;
  bool add;
  HOST_DEVICE Gather from(int64_t c) const { return {out + c, stride, add}; }
  template <typename V>
  HOST_DEVICE void operator()(int64_t i, int64_t c, V sum) const {
    float* const to = out + i * stride + c;
    store(to, add ? load<V>(to) + sum : sum);
  }
};

}  // namespace pyslsac
