#include "../langevin_chain.h"

#include <cmath>
#include <tuple>
#include <vector>

#include "checks.h"
#include "langevin_chain_run.h"

namespace pyslsac {

namespace {

constexpr const char* kOp = "langevin_chain";
using Tensors = std::vector<Tensor>;
using Three = std::tuple<Tensor, Tensor, Tensor>;

// A float32 tensor of these sizes beside obs.
const float* entry(const char* argument, const Tensor& tensor, std::vector<int64_t> sizes, const Tensor& obs) {
  bool fits = tensor.scalar_type() == ScalarType::Float && same_device(tensor, obs) && tensor.is_contiguous() &&
              tensor.dim() == static_cast<int64_t>(sizes.size());
  for (size_t axis = 0; fits && axis < sizes.size(); ++axis) fits = tensor.size(axis) == sizes[axis];
  if (!fits) {
    std::ostringstream wanted;
    for (size_t axis = 0; axis < sizes.size(); ++axis) wanted << (axis ? ", " : "float32 [") << sizes[axis];
    require(false, kOp, argument, tensor, wanted.str() + "] on " + (obs.is_cuda() ? "cuda" : "cpu") + ", contiguous");
  }
  return static_cast<const float*>(tensor.const_data_ptr());
}

// [1 or K, 1 or R] beside obs, or one number from the CPU.
PerMove per_move(const char* argument, const Tensor& value, int64_t steps, const Tensor& obs) {
  const int64_t runs = obs.size(0);
  const bool one = value.numel() == 1 && value.is_cpu();
  const bool fits = value.scalar_type() == ScalarType::Float && value.dim() == 2 && value.is_contiguous() &&
                    (value.size(0) == 1 || value.size(0) == steps) && (value.size(1) == 1 || value.size(1) == runs);
  if (!fits || !(one || same_device(value, obs)))
    require(false, kOp, argument, value,
            "float32 [1 or " + std::to_string(steps) + ", 1 or " + std::to_string(runs) + "] on " +
                (obs.is_cuda() ? "cuda" : "cpu") + ", contiguous");
  const float* data = static_cast<const float*>(value.const_data_ptr());
  if (one) return {nullptr, 0, 0, *data};
  return {data, value.size(0) > 1 ? value.size(1) : 0, value.size(1) > 1 ? 1 : 0, 0};
}

Three langevin_chain(Tensor obs, Tensor action, Tensors weights, Tensors biases, Tensors step_biases,
                     std::vector<int64_t> layers, std::vector<int64_t> activations, std::vector<int64_t> reduces,
                     Tensors coefs, Tensors members, Tensors prior, int64_t steps, Tensor step_size, Tensor temperature,
                     Tensor drift_scale, bool normalize, double grad_cap, bool cap_per_run, double low, double high,
                     Tensor seed, Tensor step, int64_t stream, bool bf16, bool drift_only, bool path, bool values) {
  require(obs.scalar_type() == ScalarType::Float && obs.dim() == 3 && obs.is_contiguous(), kOp, "obs", obs,
          "float32 [R, B, S], contiguous");
  const int64_t runs = obs.size(0), batch = obs.size(1), dim = action.dim() == 3 ? action.size(2) : 0;
  require(action.dim() == 3, kOp, "action", action, "[R, B, A] beside obs, " + describe(obs));
  require(steps > 0, kOp, "steps", steps, "a positive number");
  require(batch * dim <= kPhiloxElements, kOp, "action", action, "at most 2^34 elements a run");
  require(grad_cap > 0, kOp, "grad_cap", grad_cap, "a positive number");
  require(!normalize || std::isinf(grad_cap), kOp, "grad_cap", grad_cap, "none beside normalize");
  require(low <= high, kOp, "low", low, "at most high");
  require(stream >= 0 && stream <= 0xFFFFFFFF, kOp, "stream", stream, "an integer of 32 bits");
  const size_t groups = layers.size();
  require(groups > 0 && groups <= kChainGroups, kOp, "groups", groups, "1 to 8 of them");
  LangevinChain args{};
  args.obs = static_cast<const float*>(obs.const_data_ptr()), args.obs_dim = obs.size(2);
  args.start = entry("action", action, {runs, batch, dim}, obs), args.action_dim = dim;
  args.runs = runs, args.batch = batch, args.steps = steps, args.groups = static_cast<int>(groups);
  args.drift_only = drift_only;
  size_t at = 0;
  for (size_t g = 0; g < groups; ++g) {
    ChainGroup& group = args.group[g];
    require(layers[g] == 3 || layers[g] == 4, kOp, "layers", layers[g], "2 or 3 hidden layers and an output layer");
    require(activations[g] >= 0 && activations[g] < 5, kOp, "activations", activations[g], "an index below 5");
    require(reduces[g] >= 0 && reduces[g] < 6, kOp, "reduces", reduces[g], "an index below 6");
    require(at + layers[g] <= weights.size() && weights.size() == biases.size(), kOp, "layers", layers[g],
            "as many as there are weights and biases");
    const Tensor& first = weights[at];
    require(first.dim() == 4 && first.size(1) > 0 && first.size(3) > 0, kOp, "weights", first, "[R, E, in, out]");
    group.members = first.size(1), group.width = first.size(3), group.layers = static_cast<int>(layers[g]);
    group.first = args.members, args.members += group.members;
    group.activation = static_cast<Activation>(activations[g]), group.reduce = static_cast<Reduce>(reduces[g]);
    require(group.reduce != Reduce::pair_min_mean || group.members % 2 == 0, kOp, "members", group.members,
            "an even number of them in pairs");
    for (int l = 0; l < group.layers; ++l, ++at) {
      const int64_t in = l ? group.width : args.obs_dim + dim, out = l + 1 < group.layers ? group.width : 1;
      group.weight[l] = entry("weights", weights[at], {runs, group.members, in, out}, obs);
      group.bias[l] = entry("biases", biases[at], {runs, group.members, out}, obs);
    }
    if (step_biases[g].numel())
      group.step_bias = entry("step_biases", step_biases[g], {runs, steps, group.members, group.width}, obs);
    group.coef = per_move("coefs", coefs[g], steps, obs);
    group.member = per_run<int64_t>(kOp, "members", members[g], runs, obs);
    if (members[g].is_cpu())
      for (int64_t run = 0; run < runs; ++run)
        require(group.member[run] >= 0 && group.member[run] < group.members, kOp, "members", group.member[run],
                "numbers of " + std::to_string(group.members) + " members");
  }
  args.step_size = per_move("step_size", step_size, steps, obs);
  args.temperature = per_move("temperature", temperature, steps, obs);
  args.drift_scale = per_move("drift_scale", drift_scale, steps, obs);
  if (!prior.empty()) {
    args.prior_mean = entry("prior", prior[0], {runs, batch, dim}, obs);
    args.prior_std = entry("prior", prior[1], {runs, batch, dim}, obs);
  }
  args.limit = normalize              ? GradLimit::normalize
               : std::isinf(grad_cap) ? GradLimit::none
               : cap_per_run          ? GradLimit::cap_run
                                      : GradLimit::cap_sample;
  args.grad_cap = static_cast<float>(grad_cap), args.low = static_cast<float>(low),
  args.high = static_cast<float>(high), args.stream = static_cast<uint32_t>(stream);
  args.seed = per_run<int64_t>(kOp, "seed", seed, runs, obs);
  args.step = per_run<int64_t>(kOp, "step", step, 1, obs);
  const auto made = [&](std::vector<int64_t> sizes, bool wanted) {
    return torch::stable::new_empty(obs, wanted ? sizes : std::vector<int64_t>{0});
  };
  Three results{torch::stable::clone(action), made({runs, steps, batch, dim}, path),
                made({runs, args.members, batch}, values)};
  args.action = static_cast<float*>(std::get<0>(results).mutable_data_ptr());
  if (path) args.path = static_cast<float*>(std::get<1>(results).mutable_data_ptr());
  if (values) args.values = static_cast<float*>(std::get<2>(results).mutable_data_ptr());
  if (action.numel() || (values && obs.size(0) > 0 && batch > 0)) run_chain(args, results, obs, weights, bf16);
  return results;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) { library.impl("langevin_chain", TORCH_BOX(&langevin_chain)); }

}  // namespace pyslsac
