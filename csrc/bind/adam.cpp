#include "../adam.h"

#include <cmath>
#include <vector>

#include "checks.h"
#include "room.h"

namespace pyslsac {

namespace {

using Tensors = std::vector<Tensor>;

void* entry(const char* argument, const Tensors& tensors, size_t i, const Tensor& like) {
  require_like("adam_", argument, tensors[i], like);
  return tensors[i].mutable_data_ptr();
}

void within(const char* argument, double value, double low, double high) {
  std::ostringstream wanted;
  wanted << "a number from " << low << " to " << high;
  require(value >= low && value <= high, "adam_", argument, value, wanted.str());
}

void adam_(Tensors params, Tensors grads, Tensors exp_avgs, Tensors exp_avg_sqs, Tensors steps, int64_t runs, double lr,
           double beta1, double beta2, double eps, double weight_decay, double grad_norm, bool maximize,
           bool decoupled) {
  const char* op = "adam_";
  if (params.empty()) return;
  const Tensor& like = params[0];
  const bool wide = like.scalar_type() == ScalarType::Double;
  const std::pair<const char*, size_t> lengths[] = {{"grads", grads.size()},
                                                    {"exp_avgs", exp_avgs.size()},
                                                    {"exp_avg_sqs", exp_avg_sqs.size()},
                                                    {"steps", steps.size()}};
  for (const auto& [argument, length] : lengths)
    require(length == params.size(), op, argument, std::to_string(length) + " long", std::to_string(params.size()));
  require(runs > 0, op, "runs", runs, "at least 1");
  within("lr", lr, 0, 1e30), within("eps", eps, 0, 1e30), within("weight_decay", weight_decay, 0, 1e30);
  within("beta1", beta1, 0, 1), within("beta2", beta2, 0, 1), within("grad_norm", grad_norm, 0, HUGE_VAL);
  std::vector<AdamTensor> tensors;
  int64_t chunks = 0;
  for (size_t i = 0; i < params.size(); ++i) {
    const Tensor &param = params[i], &step = steps[i];
    const bool fits = param.scalar_type() == (wide ? ScalarType::Double : ScalarType::Float);
    require(fits && same_device(param, like) && param.is_contiguous() && param.numel() % runs == 0, op, "params", param,
            "float32 or float64 [runs, ...], all of one dtype, contiguous, on one device");
    require(step.scalar_type() == ScalarType::Float && step.numel() == 1 && same_device(step, like), op, "steps", step,
            "float32 of one element beside the parameters");
    tensors.push_back({param.mutable_data_ptr(), entry("grads", grads, i, param), entry("exp_avgs", exp_avgs, i, param),
                       entry("exp_avg_sqs", exp_avg_sqs, i, param), static_cast<float*>(step.mutable_data_ptr()),
                       param.numel() / runs, chunks});
    chunks += runs * reduce_chunks(tensors.back().size);
  }
  const bool clipped = !std::isinf(grad_norm);
  const Tensor sums = room(like, {clipped ? chunks + runs : 0}, ScalarType::Double);
  double* const data = static_cast<double*>(sums.mutable_data_ptr());
  const Adam args{tensors.data(),
                  static_cast<int64_t>(tensors.size()),
                  chunks,
                  runs,
                  lr,
                  beta1,
                  beta2,
                  eps,
                  weight_decay,
                  grad_norm,
                  maximize,
                  decoupled,
                  wide,
                  data,
                  clipped ? data + chunks : nullptr};
  launch(backend::adam_sums, args, like, clipped ? chunks + 1 : 1, 8);
  if (clipped) launch(backend::adam_factors, args, like, runs, runs);
  launch(backend::adam_step, args, like, chunks, 4);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) { library.impl("adam_", TORCH_BOX(&adam_)); }
#ifndef PYSLSAC_CUDA
STABLE_TORCH_LIBRARY_IMPL(pyslsac_graph, CPU, library) { library.impl("pyslsac_adam_", TORCH_BOX(&adam_)); }
#endif

}  // namespace pyslsac
