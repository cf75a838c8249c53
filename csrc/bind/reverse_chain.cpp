#include "../reverse_chain.h"

#include <tuple>

#include "perceptron_arguments.h"
#include "perceptron_launch.h"
#include "reverse_chain_launch.h"

namespace pyslsac {

namespace {

// Shapes and weights of the chain from noise [R, K, B, A] over a table [R, K, E] and S columns of observations.
ReverseChain arguments(const char* op, const Tensor& like, int64_t states, const Tensor& table, const Tensors& weights,
                       const Kinds& activations, const Tensor& gain, int64_t batch, int64_t actions, int64_t bf16) {
  ReverseChain args{};
  require(!weights.empty() && weights.size() <= kPerceptronLayers, op, "weights", weights.size(), "1 to 8 layers");
  require(table.dim() == 3 && table.size(1) > 0, op, "table", table, "[R, K, E]");
  args.levels = table.size(1), args.embedding = table.size(2), args.states = states, args.actions = actions;
  args.table = data(op, "table", table, like, {table.size(0), args.levels, args.embedding});
  if (weights[0].dim() != 3 || weights[0].size(0) != table.size(0))
    require(false, op, "weights", weights[0], "[R, in, out] beside table, " + describe(table));
  args.score = perceptron_arguments(op, like, args.width(), weights, activations, bf16);
  args.score.batch = batch, args.score.shared = 1;
  if (args.score.layer[args.score.layers - 1].outputs != actions)
    require(false, op, "weights", weights.back(),
            "as many outputs as actions have columns, " + std::to_string(actions));
  const bool fits = gain.is_cpu() && gain.scalar_type() == ScalarType::Double && gain.dim() == 1 &&
                    gain.size(0) == args.levels && gain.is_contiguous();
  if (!fits) require(false, op, "gain", gain, "float64 [" + std::to_string(args.levels) + "] on cpu, contiguous");
  args.gain = static_cast<const double*>(gain.const_data_ptr());
  return args;
}

std::tuple<Tensor, Tensor, Tensor, Tensors> reverse_chain(Tensor obs, Tensor noise, Tensor table, Tensors weights,
                                                          Tensors biases, Kinds activations, Tensor gain, Tensor spread,
                                                          bool keep, int64_t bf16) {
  const char* op = "reverse_chain";
  require(obs.dim() == 3, op, "obs", obs, "[R, B, S]");
  require(noise.dim() == 4 && noise.size(3) > 0, op, "noise", noise, "[R, K, B, A]");
  const int64_t runs = obs.size(0), batch = obs.size(1), actions = noise.size(3);
  ReverseChain args = arguments(op, obs, obs.size(2), table, weights, activations, gain, batch, actions, bf16);
  args.obs = data(op, "obs", obs, obs, {args.score.networks, batch, args.states});
  args.noise = data(op, "noise", noise, obs, {runs, args.levels, batch, actions});
  require_like(op, "spread", spread, gain);
  args.spread = static_cast<const double*>(spread.const_data_ptr()), args.keep = keep;
  set_biases(op, args.score, obs, biases);
  const int64_t slabs = keep ? args.levels : 1;
  const auto made = [&](int64_t columns) { return room(obs, {slabs, runs, batch, columns}); };
  Tensor path = room(obs, {args.levels, runs, batch, actions}), inputs = made(args.width()), y = made(actions);
  const Tensor x = room(obs, {runs, batch, actions});
  args.path = data(path), args.inputs = data(inputs), args.x = data(x);
  Tensors kept;
  place(args.score, y, true, [&](int l, bool) -> float* {
    if (!keep) return nullptr;
    kept.push_back(made(args.score.layer[l].outputs));
    return data(kept.back());
  });
  run_forward(args, obs);
  return {path, inputs, y, kept};
}

std::tuple<Tensor, Tensors> reverse_chain_backward(Tensor grad, Tensor path, Tensor inputs, Tensor y, Tensors kept,
                                                   Tensor table, Tensors weights, Kinds activations, Tensor gain,
                                                   int64_t bf16) {
  const char* op = "reverse_chain_backward";
  require(grad.dim() == 3 && grad.size(2) > 0, op, "grad", grad, "[R, B, A]");
  require(inputs.dim() == 4, op, "inputs", inputs, "[K, R, B, S + A + E]");
  require(table.dim() == 3, op, "table", table, "[R, K, E]");
  const int64_t runs = grad.size(0), batch = grad.size(1), actions = grad.size(2);
  const int64_t states = inputs.size(3) - actions - table.size(-1);
  ReverseChain args = arguments(op, grad, states, table, weights, activations, gain, batch, actions, bf16);
  const auto checked = [&](const char* name, const Tensor& tensor, int64_t columns) {
    return const_cast<float*>(data(op, name, tensor, grad, {args.levels, runs, batch, columns}));
  };
  args.grad = data(op, "grad", grad, grad, {args.score.networks, batch, actions}), args.keep = true;
  args.path = checked("path", path, actions), args.inputs = checked("inputs", inputs, args.width());
  checked("y", y, actions);
  size_t taken = 0;
  place(args.score, y, true, [&](int l, bool) -> float* {
    require(taken < kept.size(), op, "kept", kept.size(), "all that reverse_chain kept");
    return checked("kept", kept[taken++], args.score.layer[l].outputs);
  });
  const int64_t rows = args.levels * runs * batch, columns = actions + args.embedding;
  const Tensor x = room(grad, {runs, batch, actions}), memory = room(grad, {rows * outputs(args.score)});
  const Tensor score_grad = room(grad, {rows, actions}), x_grad = room(grad, {rows, columns});
  Tensor table_grad = room(table, table.sizes());
  args.x = data(x), args.score_grad = data(score_grad), args.table_grad = data(table_grad);
  args.score.x_grad = data(x_grad), args.score.x_columns = columns;
  const Tensors made = set_gradients(args.score, memory, rows, weights);
  run_backward(args, grad);
  return {table_grad, made};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) {
  library.impl("reverse_chain", TORCH_BOX(&reverse_chain));
  library.impl("reverse_chain_backward", TORCH_BOX(&reverse_chain_backward));
}

}  // namespace pyslsac
