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

struct Leave {  // grad = sum slope, the slope that of row live[i]
  float* grad;
  int64_t stride;
  const uint32_t* live;
  const float *value, *slope;  // a ReLU's value, or a slope; both null: 1
  HOST_DEVICE Leave from(int64_t c) const {
    return {grad + c, stride, live, value ? value + c : value, slope ? slope + c : slope};
  }
  HOST_DEVICE void expect(int64_t i, int64_t c) const {
    __builtin_prefetch(slope || value ? (slope ? slope : value) + live[i] * stride + c : grad + i * stride + c);
  }
  template <typename V>
  HOST_DEVICE void operator()(int64_t i, int64_t c, V sum) const {
    const int64_t at = live[i] * stride + c;
    if (value) sum = load<V>(value + at) <= V{} ? V{} : sum;
    if (slope) sum *= load<V>(slope + at);
    store(grad + i * stride + c, sum);
  }
};

}  // namespace pyslsac
