// perceptron: G perceptrons of the same shape, x -> activation(x W + b) layer after layer, and their derivatives.
#pragma once

#include <functional>

#include "activation.h"

namespace pyslsac {

constexpr int kPerceptronLayers = 8;

enum class Layer { linear = -1, relu, silu, gelu, mish, tanh };  // what follows a layer's product

struct PerceptronLayer {
  int64_t inputs, outputs;  // widths
  Layer kind;
  const float *weight, *bias;      // [G, inputs, outputs], [G, outputs]
  float *out, *slope;              // [G, B, outputs] each, or null: kept nowhere; a ReLU's slope is read off its value
  float* grad;                     // [G, B, outputs], by the product x W + b; null: the weights' are not wanted
  float *weight_grad, *bias_grad;  // as weight and bias, or null
};

struct Perceptron {
  PerceptronLayer layer[kPerceptronLayers];
  int layers;
  int bf16;             // how many of them, the first, multiply in bfloat16
  const float* x;       // [G / shared, B, inputs of layer 0]
  const float* y_grad;  // [G, B, outputs of the last layer]
  float* x_grad;        // [G, B, x_columns], or null
  int64_t x_columns;    // the last of layer 0's inputs, whose gradient is wanted
  int64_t networks;     // G
  int64_t shared;       // networks that see the same x
  int64_t batch;        // B
  bool add;             // the weights' gradients add to what is there
  int64_t block;        // rows that go through the layers together, on the CPU
};

namespace cpu {
constexpr int64_t kPerceptronBlock = 264;   // a block has about so many rows at most,
constexpr int64_t kPerceptronRows = 12;     // a multiple of so many,
constexpr int64_t kPerceptronStripe = 32;   // or of so many, in bfloat16 and where a batch has
constexpr int64_t kPerceptronMany = 1024;   // so many or more
constexpr int64_t kPerceptronBatch = 256;   // rows whose part in the weights' gradients is summed apart: a core's cache
constexpr int64_t kPerceptronColumns = 64;  // columns of a layer whose weights' gradients are one unit of work,
constexpr int64_t kBf16Columns = 128;       // or so many, where the layer multiplies in bfloat16

HOST_DEVICE int64_t blocks(const Perceptron& args) { return (args.batch + args.block - 1) / args.block; }

// Of G blocks(args) units, each some rows of one network, begin .. end - 1: the layers forward, or back to the
// gradients by their products and by x.
void perceptron(const Perceptron& args, int64_t begin, int64_t end);
void perceptron_backward(const Perceptron& args, int64_t begin, int64_t end);
// Of G perceptron_columns(args) units, each some columns of one layer of one network: the weights' gradients, once the
// layers' are there.
int64_t perceptron_columns(const Perceptron& args);
void perceptron_weights(const Perceptron& args, int64_t begin, int64_t end);
}  // namespace cpu

namespace cuda {
// out [G, rows, columns] = left [G, rows, depth] right [G, depth, columns], where a transposed factor lies the other
// way round and factors of two networks lie a stride apart, 0 for one that they share.
struct Product {
  const float *left, *right;
  float* out;
  int64_t networks, rows, depth, columns, left_stride, right_stride;
  bool left_transposed, right_transposed;
};

struct PerceptronCall {
  Perceptron args;
  float* scratch;  // perceptron_scratch(args) numbers
  const std::function<void(const Product&)>& multiply;
};

int64_t perceptron_scratch(const Perceptron& args);
void perceptron(const PerceptronCall& call, void* stream);
void perceptron_backward(const PerceptronCall& call, void* stream);  // the weights' gradients too, where they have room
}  // namespace cuda

}  // namespace pyslsac
