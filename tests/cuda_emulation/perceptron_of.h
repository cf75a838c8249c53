// What the tests of perceptrons give a kernel.
#pragma once

#include "../../csrc/perceptron.h"

namespace pyslsac {

struct Row {  // a layer, of the table that the test writes
  int64_t inputs, outputs, kind, weight, bias, out, slope, grad, weight_grad, bias_grad;
};

inline float* pointer(int64_t address) { return reinterpret_cast<float*>(address); }

// What torch does on a device, between the launches.
inline void multiply(const cuda::Product& p) {
  for (int64_t g = 0; g < p.networks; ++g) {
    const float *left = p.left + g * p.left_stride, *right = p.right + g * p.right_stride;
    for (int64_t i = 0; i < p.rows; ++i)
      for (int64_t j = 0; j < p.columns; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < p.depth; ++k)
          sum += left[p.left_transposed ? k * p.rows + i : i * p.depth + k] *
                 right[p.right_transposed ? j * p.depth + k : k * p.columns + j];
        p.out[(g * p.rows + i) * p.columns + j] = static_cast<float>(sum);
      }
  }
}

inline Perceptron perceptron_of(const Row* rows, int64_t layers, const float* x, int64_t networks, int64_t shared,
                                int64_t batch) {
  Perceptron args{};
  args.layers = static_cast<int>(layers), args.x = x, args.networks = networks, args.shared = shared;
  args.batch = batch;
  for (int64_t l = 0; l < layers; ++l) {
    const Row& r = rows[l];
    args.layer[l] = {r.inputs,
                     r.outputs,
                     static_cast<Layer>(r.kind),
                     pointer(r.weight),
                     pointer(r.bias),
                     pointer(r.out),
                     pointer(r.slope),
                     pointer(r.grad),
                     pointer(r.weight_grad),
                     pointer(r.bias_grad)};
  }
  return args;
}

}  // namespace pyslsac
