// The arguments that every op with perceptrons in it has, checked.
#pragma once

#include <vector>

#include "../perceptron.h"
#include "room.h"

namespace pyslsac {

using Tensors = std::vector<Tensor>;
using Kinds = std::vector<int64_t>;

inline const float* data(const char* op, const char* argument, const Tensor& tensor, const Tensor& x,
                         IntHeaderOnlyArrayRef sizes) {
  const bool fits = tensor.scalar_type() == ScalarType::Float && same_device(tensor, x) && tensor.is_contiguous() &&
                    tensor.sizes().equals(sizes);
  if (!fits) {
    std::ostringstream wanted;
    for (size_t axis = 0; axis < sizes.size(); ++axis) wanted << (axis ? ", " : "float32 [") << sizes[axis];
    require(false, op, argument, tensor, wanted.str() + "] on " + (x.is_cuda() ? "cuda" : "cpu") + ", contiguous");
  }
  return static_cast<const float*>(tensor.const_data_ptr());
}

inline float* data(const Tensor& made) { return static_cast<float*>(made.mutable_data_ptr()); }

// Shapes and weights of networks that take `inputs` columns, on the device of x.
inline Perceptron perceptron_arguments(const char* op, const Tensor& x, int64_t inputs, const Tensors& weights,
                                       const Kinds& activations, int64_t bf16) {
  Perceptron args{};
  const size_t layers = weights.size();
  require(activations.size() == layers, op, "activations", activations.size(), "one a layer");
  require(bf16 >= 0 && bf16 <= static_cast<int64_t>(layers) && !(bf16 && x.is_cuda()), op, "bf16", bf16,
          "at most as many as there are layers, and none on CUDA");
  args.layers = static_cast<int>(layers), args.bf16 = static_cast<int>(bf16), args.networks = weights[0].size(0);
  for (size_t l = 0; l < layers; ++l) {
    require(weights[l].dim() == 3 && weights[l].size(2) > 0, op, "weights", weights[l], "[G, in, out]");
    require(activations[l] >= -1 && activations[l] < 5, op, "activations", activations[l], "-1 or an index below 5");
    PerceptronLayer& layer = args.layer[l];
    layer.inputs = inputs, layer.outputs = weights[l].size(2), layer.kind = static_cast<Layer>(activations[l]);
    layer.weight = data(op, "weights", weights[l], x, {args.networks, inputs, layer.outputs});
    inputs = layer.outputs;
  }
  return args;
}

inline void set_biases(const char* op, Perceptron& args, const Tensor& x, const Tensors& biases) {
  require(static_cast<int>(biases.size()) == args.layers, op, "biases", biases.size(), "one a layer");
  for (int l = 0; l < args.layers; ++l)
    args.layer[l].bias = data(op, "biases", biases[l], x, {args.networks, args.layer[l].outputs});
}

// The values and slopes that a forward pass keeps, in the order of the layers: `next` gives each its place. Where
// nothing is learned no value is wanted but a ReLU's, off which its slope is read.
template <typename Next>
void place(Perceptron& args, const Tensor& y, bool learned, const Next& next) {
  for (int l = 0; l < args.layers; ++l) {
    PerceptronLayer& layer = args.layer[l];
    layer.out = l + 1 < args.layers ? next(l, learned || layer.kind == Layer::relu) : data(y);
    layer.slope = layer.kind > Layer::relu ? next(l, true) : nullptr;
  }
}

// The layers' gradients get room in `memory`, rows x all their outputs, and the weights' in the tensors that come back.
inline Tensors set_gradients(Perceptron& args, const Tensor& memory, int64_t rows, const Tensors& weights) {
  Tensors made;
  float* at = data(memory);
  for (int l = 0; l < args.layers; at += rows * args.layer[l++].outputs) {
    PerceptronLayer& layer = args.layer[l];
    made.push_back(room(weights[l], weights[l].sizes()));
    made.push_back(room(memory, {args.networks, layer.outputs}));
    layer.grad = at, layer.weight_grad = data(made[2 * l]), layer.bias_grad = data(made[2 * l + 1]);
  }
  return made;
}

inline int64_t outputs(const Perceptron& args) {
  int64_t all = 0;
  for (int l = 0; l < args.layers; ++l) all += args.layer[l].outputs;
  return all;
}

}  // namespace pyslsac
