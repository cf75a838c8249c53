#include "../perceptron.h"

#include <array>
#include <tuple>

#include "perceptron_arguments.h"
#include "perceptron_launch.h"

namespace pyslsac {

namespace {

// x, shapes and weights.
Perceptron arguments(const char* op, const Tensor& x, const Tensors& weights, const Kinds& activations, int64_t bf16) {
  require(!weights.empty() && weights.size() <= kPerceptronLayers, op, "weights", weights.size(), "1 to 8 layers");
  require(x.dim() == 3 && x.size(2) > 0, op, "x", x, "[G / shared, B, in]");
  if (weights[0].dim() != 3 || x.size(0) == 0 || weights[0].size(0) % x.size(0) > 0)
    require(false, op, "weights", weights[0], "[G, in, out], G a multiple of x's first axis, " + describe(x));
  Perceptron args = perceptron_arguments(op, x, x.size(2), weights, activations, bf16);
  args.batch = x.size(1), args.shared = args.networks / x.size(0);
  args.x = data(op, "x", x, x, {x.size(0), args.batch, x.size(2)});
  return args;
}

std::tuple<Tensor, Tensors> perceptron(Tensor x, Tensors weights, Tensors biases, Kinds activations, bool keep,
                                       bool learned, int64_t bf16) {
  Perceptron args = arguments("perceptron", x, weights, activations, bf16);
  set_biases("perceptron", args, x, biases);
  const auto made = [&](int l) { return room(x, {args.networks, args.batch, args.layer[l].outputs}); };
  Tensor y = made(args.layers - 1);
  Tensors kept;
  place(args, y, learned, [&](int l, bool wanted) -> float* {
    if (!keep) return nullptr;
    kept.push_back(wanted ? made(l) : room(x, {0}));
    return wanted ? data(kept.back()) : nullptr;
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
  args.x_grad = input ? data(x_grad) : nullptr, args.x_columns = input;
  const int64_t rows = args.networks * args.batch;
  const Tensor memory = room(x, {learned ? rows * outputs(args) : 0});
  const Tensors made = learned ? set_gradients(args, memory, rows, weights) : Tensors{};
  run_backward(args, x, learned);
  return {x_grad, made};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) {
  library.impl("perceptron", TORCH_BOX(&perceptron));
  library.impl("perceptron_backward", TORCH_BOX(&perceptron_backward));
}

}  // namespace pyslsac
