#include "../perceptron.h"

#include <array>
#include <tuple>
#include <vector>

#include "checks.h"
#include "perceptron_launch.h"

namespace pyslsac {

namespace {

using Tensors = std::vector<Tensor>;
using Kinds = std::vector<int64_t>;

const float* data(const char* op, const char* argument, const Tensor& tensor, const Tensor& x,
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

// Shapes and weights.
Perceptron arguments(const char* op, const Tensor& x, const Tensors& weights, const Kinds& activations, int64_t bf16) {
  Perceptron args{};
  const size_t layers = weights.size();
  require(layers > 0 && layers <= kPerceptronLayers, op, "weights", layers, "1 to 8 layers");
  require(activations.size() == layers, op, "activations", activations.size(), "one a layer");
  require(x.dim() == 3 && x.size(2) > 0, op, "x", x, "[G / shared, B, in]");
  if (weights[0].dim() != 3 || x.size(0) == 0 || weights[0].size(0) % x.size(0) > 0)
    require(false, op, "weights", weights[0], "[G, in, out], G a multiple of x's first axis, " + describe(x));
  require(bf16 >= 0 && bf16 <= static_cast<int64_t>(layers) && !(bf16 && x.is_cuda()), op, "bf16", bf16,
          "at most as many as there are layers, and none on CUDA");
  args.layers = static_cast<int>(layers), args.bf16 = static_cast<int>(bf16), args.networks = weights[0].size(0),
  args.batch = x.size(1);
  args.shared = args.networks / x.size(0), args.x = data(op, "x", x, x, {x.size(0), args.batch, x.size(2)});
  for (size_t l = 0; l < layers; ++l) {
    const int64_t inputs = l ? args.layer[l - 1].outputs : x.size(2);
    require(weights[l].dim() == 3 && weights[l].size(2) > 0, op, "weights", weights[l], "[G, in, out]");
    require(activations[l] >= -1 && activations[l] < 5, op, "activations", activations[l], "-1 or an index below 5");
    PerceptronLayer& layer = args.layer[l];
    layer.inputs = inputs, layer.outputs = weights[l].size(2), layer.kind = static_cast<Layer>(activations[l]);
    layer.weight = data(op, "weights", weights[l], x, {args.networks, inputs, layer.outputs});
  }
  return args;
}

int64_t size(const Perceptron& args, int l) { return args.networks * args.batch * args.layer[l].outputs; }

// The values and slopes that a forward pass keeps, in the order of the layers: `next` gives each its place. Where
// nothing is learned no value is wanted but a ReLU's, off which its slope is read.
template <typename Next>
void place(Perceptron& args, const Tensor& y, bool learned, const Next& next) {
  for (int l = 0; l < args.layers; ++l) {
    PerceptronLayer& layer = args.layer[l];
    layer.out =
        l + 1 < args.layers ? next(l, learned || layer.kind == Layer::relu) : static_cast<float*>(y.mutable_data_ptr());
    layer.slope = layer.kind > Layer::relu ? next(l, true) : nullptr;
  }
}

std::tuple<Tensor, Tensors> perceptron(Tensor x, Tensors weights, Tensors biases, Kinds activations, bool keep,
                                       bool learned, int64_t bf16) {
  Perceptron args = arguments("perceptron", x, weights, activations, bf16);
  require(biases.size() == weights.size(), "perceptron", "biases", biases.size(), "one a layer");
  for (int l = 0; l < args.layers; ++l)
    args.layer[l].bias = data("perceptron", "biases", biases[l], x, {args.networks, args.layer[l].outputs});
  const auto made = [&](int l) { return room(x, {args.networks, args.batch, args.layer[l].outputs}); };
  Tensor y = made(args.layers - 1);
  Tensors kept;
  place(args, y, learned, [&](int l, bool wanted) -> float* {
    if (!keep) return nullptr;
    kept.push_back(wanted ? made(l) : room(x, {0}));
    return wanted ? static_cast<float*>(kept.back().mutable_data_ptr()) : nullptr;
  });
  run_forward(args, x);
  return {y, kept};
}

std::tuple<Tensor, Tensors> perceptron_backward(Tensor grad, Tensor x, Tensor y, Tensors kept, Tensors weights,
                                                Kinds activations, int64_t input, bool learned, int64_t bf16) {
  const char* op = "perceptron_backward";
  Perceptron args = arguments(op, x, weights, activations, bf16);
  const std::array<int64_t, 3> sizes{args.networks, args.batch, args.layer[args.layers - 1].outputs};
  args.y_grad = data(op, "grad", grad, x, sizes), data(op, "y", y, x, sizes);
  size_t taken = 0;
  place(args, y, learned, [&](int l, bool wanted) -> float* {
    require(taken < kept.size(), op, "kept", kept.size(), "all that perceptron kept");
    const Tensor& from = kept[taken++];
    if (!wanted) return nullptr;
    return const_cast<float*>(data(op, "kept", from, x, {args.networks, args.batch, args.layer[l].outputs}));
  });
  if (input < 0 || input > x.size(2))
    require(false, op, "input", input, "at most x's columns, " + std::to_string(x.size(2)));
  Tensor x_grad = room(x, {args.networks, args.batch, input});
  args.x_grad = input ? static_cast<float*>(x_grad.mutable_data_ptr()) : nullptr, args.x_columns = input;
  int64_t between = 0;
  for (int l = 0; l < args.layers; ++l) between += size(args, l);
  Tensor memory = room(x, {learned ? between : 0});
  Tensors made;
  float* at = static_cast<float*>(memory.mutable_data_ptr());
  for (int l = 0; learned && l < args.layers; at += size(args, l++)) {
    PerceptronLayer& layer = args.layer[l];
    made.push_back(room(weights[l], weights[l].sizes()));
    made.push_back(room(x, {args.networks, layer.outputs}));
    layer.grad = at, layer.weight_grad = static_cast<float*>(made[2 * l].mutable_data_ptr());
    layer.bias_grad = static_cast<float*>(made[2 * l + 1].mutable_data_ptr());
  }
  run_backward(args, x, learned);
  return {x_grad, made};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) {
  library.impl("perceptron", TORCH_BOX(&perceptron));
  library.impl("perceptron_backward", TORCH_BOX(&perceptron_backward));
}

}  // namespace pyslsac
