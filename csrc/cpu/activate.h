// The activations of csrc/activation.h over rows, in loops that vectorise.
#pragma once

#include "../activation.h"
#include "../bfloat16.h"

namespace pyslsac {

// hidden <- activation(product + bias), its slope beside it, for rows of `width`; hidden may be product itself.
template <Activation kind, typename V, typename H>
HOST_DEVICE void activate_as(const float* product, const float* bias, V* hidden, H* slope, int64_t rows,
                             int64_t width) {
  for (int64_t i = 0; i < rows; ++i, product += width, hidden += width, slope += width) {
#pragma GCC ivdep
    for (int64_t c = 0; c < width; ++c) {
      const Activated y = activated<kind>(product[c] + bias[c]);
      hidden[c] = narrow<V>(y.value), slope[c] = narrow<H>(y.slope);
    }
  }
}
template <typename V, typename H>
HOST_DEVICE void activate(Activation kind, const float* product, const float* bias, V* hidden, H* slope, int64_t rows,
                          int64_t width) {
  switch (kind) {
    case Activation::relu: return activate_as<Activation::relu>(product, bias, hidden, slope, rows, width);
    case Activation::silu: return activate_as<Activation::silu>(product, bias, hidden, slope, rows, width);
    case Activation::gelu: return activate_as<Activation::gelu>(product, bias, hidden, slope, rows, width);
    case Activation::mish: return activate_as<Activation::mish>(product, bias, hidden, slope, rows, width);
    case Activation::tanh: return activate_as<Activation::tanh>(product, bias, hidden, slope, rows, width);
  }
}

}  // namespace pyslsac
