#include "../asgld.h"

#include <cmath>
#include <optional>
#include <vector>

#include "checks.h"
#include "room.h"
#include "text.h"

namespace pyslsac {

namespace {

constexpr const char* kOp = "asgld_";
using Tensors = std::vector<Tensor>;

template <typename Choice>
Choice choice(const char* argument, const std::string& name, std::initializer_list<const char*> names) {
  std::string wanted = "one of";
  int index = 0;
  for (const char* each : names) {
    if (name == each) return static_cast<Choice>(index);
    wanted += (index++ ? ", " : " ") + std::string(each);
  }
  require(false, kOp, argument, name, wanted);
  return Choice{};
}

void require_length(const char* argument, size_t came, size_t wanted) {
  require(came == wanted, kOp, argument, std::to_string(came) + " long", std::to_string(wanted));
}

void require_within(const char* argument, double value, double low, double high) {
  std::ostringstream wanted;
  wanted << "a finite number from " << low << " to " << high;
  require(std::isfinite(value) && value >= low && value <= high, kOp, argument, value, wanted.str());
}

// Entry i of a list that may be empty: a contiguous tensor of this dtype, shaped as `like` and beside it.
void* entry(const char* argument, const Tensors& tensors, size_t i, ScalarType dtype, const Tensor& like) {
  if (tensors.empty()) return nullptr;
  const Tensor& tensor = tensors[i];
  const bool ok = tensor.scalar_type() == dtype && same_shape(tensor, like) && same_device(tensor, like);
  require(ok && tensor.is_contiguous(), kOp, argument, tensor,
          (dtype == like.scalar_type() ? "" : "float32, else as ") + describe(like) + ", contiguous");
  return tensor.mutable_data_ptr();
}

// One number beside `like`.
template <typename T>
const T* single(const char* argument, const Tensor& tensor, ScalarType dtype, const Tensor& like) {
  const bool ok = tensor.scalar_type() == dtype && tensor.numel() == 1 && same_device(tensor, like);
  require(ok, kOp, argument, tensor,
          std::string(dtype == ScalarType::Long ? "int64" : "float32") + " of one element on the parameters' device");
  return static_cast<const T*>(tensor.data_ptr());
}

Storage storage_of(const Tensor& param) {
  if (param.scalar_type() == ScalarType::Float) return Storage::float32;
  if (param.scalar_type() == ScalarType::Double) return Storage::float64;
  require(param.scalar_type() == ScalarType::BFloat16, kOp, "params", param, "float32, float64 or bfloat16");
  return Storage::bfloat16;
}

void asgld_(Tensors params, Tensors grads, Tensors exp_avgs, Tensors exp_avg_sqs, Tensors residuals, Tensors targets,
            Tensors steps, Tensor seed, Tensor lr, Tensor temperature, std::optional<Tensor> grad_scale,
            std::optional<Tensor> found_inf, std::vector<int64_t> streams, std::vector<int64_t> offsets,
            int64_t networks, double bias, double beta1, double beta2, double eps, double weight_decay, Text variant,
            Text clip, double clip_threshold, bool maximize, bool noise, double polyak) {
  if (params.empty()) return;
  const Tensor& like = params[0];
  const size_t count = params.size();
  const int64_t runs = seed.numel();
  require(runs > 0 && networks > 0 && networks % runs == 0, kOp, "networks", networks,
          "a multiple of the number of seeds, " + std::to_string(runs));
  Asgld args{nullptr,
             static_cast<int64_t>(count),
             0,
             networks,
             runs,
             per_run<int64_t>(kOp, "seed", seed, runs, like),
             per_run<double>(kOp, "lr", lr, 1, like),
             per_run<double>(kOp, "temperature", temperature, 1, like),
             grad_scale ? single<float>("grad_scale", *grad_scale, ScalarType::Float, like) : nullptr,
             found_inf ? single<float>("found_inf", *found_inf, ScalarType::Float, like) : nullptr,
             bias,
             beta1,
             beta2,
             eps,
             weight_decay,
             clip_threshold,
             polyak,
             choice<Variant>("variant", variant.value, {"asgld", "asgld-preconditioned", "psgld", "sgld"}),
             choice<Clip>("clip", clip.value, {"grad_norm", "drift_value", "drift_norm", "none"}),
             maximize,
             noise,
             nullptr,
             nullptr};
  const bool first = args.variant == Variant::asgld || args.variant == Variant::preconditioned;
  if (args.variant == Variant::asgld && bias == 0) args.variant = Variant::biasless;
  require_length("grads", grads.size(), count);
  require_length("exp_avgs", exp_avgs.size(), first ? count : 0);
  require_length("exp_avg_sqs", exp_avg_sqs.size(), args.variant == Variant::sgld ? 0 : count);
  require_length("residuals", residuals.size(), residuals.empty() ? 0 : count);
  require_length("targets", targets.size(), targets.empty() ? 0 : count);
  require_length("steps", steps.size(), count);
  require_length("streams", streams.size(), count);
  require_length("offsets", offsets.size(), count);
  require_within("lr", args.lr.data ? 0 : args.lr.value, 0, 1e30);
  require_within("temperature", args.temperature.data ? 0 : args.temperature.value, 0, 1e30);
  require_within("bias", bias, -1e30, 1e30);
  require_within("beta1", beta1, 0, 1);
  require_within("beta2", beta2, 0, 1);
  require_within("eps", eps, 0, 1e30);
  require_within("weight_decay", weight_decay, 0, 1e30);
  require_within("clip_threshold", clip_threshold, 0, 1e30);
  require_within("polyak", polyak, 0, 1);

  std::vector<AsgldTensor> tensors;
  for (size_t i = 0; i < count; ++i) {
    const Tensor& param = params[i];
    const Storage storage = storage_of(param);
    const ScalarType dtype = param.scalar_type();
    const ScalarType wide = storage == Storage::float64 ? ScalarType::Double : ScalarType::Float;
    require(same_device(param, like) && param.is_contiguous() && param.numel() % networks == 0, kOp, "params", param,
            "contiguous tensors on one device, each of " + std::to_string(networks) + " equal networks");
    require(streams[i] >= 0 && streams[i] <= 0xFFFFFFFF, kOp, "streams", streams[i], "integers of 32 bits");
    require(offsets[i] >= 0 && offsets[i] <= kPhiloxElements - param.numel() / runs, kOp, "offsets", offsets[i],
            "elements below " + std::to_string(kPhiloxElements));
    tensors.push_back({param.mutable_data_ptr(), entry("grads", grads, i, dtype, param),
                       entry("exp_avgs", exp_avgs, i, wide, param), entry("exp_avg_sqs", exp_avg_sqs, i, wide, param),
                       entry("residuals", residuals, i, wide, param), entry("targets", targets, i, dtype, param),
                       single<int64_t>("steps", steps[i], ScalarType::Long, param), param.numel() / networks,
                       offsets[i], args.chunks, static_cast<uint32_t>(streams[i]), storage});
    args.chunks += networks * reduce_chunks(tensors.back().size);
  }
  args.tensors = tensors.data();
  const Tensor sums = room(like, {args.norms() ? args.chunks + networks : 0}, ScalarType::Double);
  if (args.norms()) {
    args.sums = static_cast<double*>(sums.mutable_data_ptr());
    args.factors = args.sums + args.chunks;
    launch(backend::asgld_sums, args, like, args.chunks, 8);
    launch(backend::asgld_factors, args, like, networks, networks);
  }
  launch(backend::asgld_step, args, like, args.chunks, 4);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) { library.impl("asgld_", TORCH_BOX(&asgld_)); }
#ifndef PYSLSAC_CUDA
STABLE_TORCH_LIBRARY_IMPL(pyslsac_graph, CPU, library) { library.impl("pyslsac_asgld_", TORCH_BOX(&asgld_)); }
#endif

}  // namespace pyslsac
