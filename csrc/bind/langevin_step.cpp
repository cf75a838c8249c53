#include "../langevin_step.h"

#include <cmath>

#include "../reduce.h"
#include "checks.h"

namespace pyslsac {

namespace {

const char* const op = "langevin_step";

template <typename T>
void run(LangevinStep<T> args, const Tensor& action, const Tensor& grad, const Tensor& step_size,
         const Tensor& temperature, const Tensor& drift_scale) {
  args.action = static_cast<T*>(action.mutable_data_ptr());
  args.grad = static_cast<const T*>(grad.const_data_ptr());
  args.step_size = per_run<T>(op, "step_size", step_size, args.runs, action);
  args.temperature = per_run<T>(op, "temperature", temperature, args.runs, action);
  args.drift_scale = per_run<T>(op, "drift_scale", drift_scale, args.runs, action);
  if (action.numel() == 0) return;
  Tensor sums;  // lives until both launches are queued
  if (args.limit == GradLimit::cap_run) {
    const int64_t count = args.runs * reduce_chunks(args.batch * args.dim);
    sums = torch::stable::new_empty(action, {count}, ScalarType::Double);
    args.chunk_sums = static_cast<double*>(sums.mutable_data_ptr());
    launch(backend::sum_grad_squares<T>, args, action, count, 4);
  }
  launch(backend::langevin_step<T>, args, action, args.runs * args.batch, std::max<int64_t>(1, 8192 / args.dim));
}

void langevin_step_(Tensor action, Tensor grad, Tensor step_size, Tensor temperature, Tensor drift_scale,
                    bool normalize, double grad_cap, bool cap_per_run, double low, double high, Tensor seed,
                    Tensor step, int64_t stream) {
  const bool wide = action.scalar_type() == ScalarType::Double;
  require((wide || action.scalar_type() == ScalarType::Float) && (action.dim() == 2 || action.dim() == 3) &&
              action.is_contiguous(),
          op, "action", action, "float32 or float64 [R, B, A] or [B, A], contiguous");
  require_like(op, "grad", grad, action);
  require(grad_cap > 0, op, "grad_cap", grad_cap, "a positive number");
  require(!normalize || std::isinf(grad_cap), op, "grad_cap", grad_cap, "none beside normalize");
  require(low <= high, op, "low", low, "at most high");
  require(stream >= 0 && stream <= 0xFFFFFFFF, op, "stream", stream, "an integer of 32 bits");
  const bool stacked = action.dim() == 3;
  const int64_t runs = stacked ? action.size(0) : 1, batch = action.size(stacked), dim = action.size(stacked + 1);
  require(batch * dim <= kPhiloxElements, op, "action", action, "at most 2^34 elements a run");
  const GradLimit limit = normalize              ? GradLimit::normalize
                          : std::isinf(grad_cap) ? GradLimit::none
                          : cap_per_run          ? GradLimit::cap_run
                                                 : GradLimit::cap_sample;
  const auto fill = [&](auto args) {
    args.runs = runs, args.batch = batch, args.dim = dim;
    args.limit = limit, args.grad_cap = grad_cap, args.low = low, args.high = high;
    args.seed = per_run<int64_t>(op, "seed", seed, runs, action);
    args.step = per_run<int64_t>(op, "step", step, 1, action);
    args.stream = static_cast<uint32_t>(stream);
    run(args, action, grad, step_size, temperature, drift_scale);
  };
  wide ? fill(LangevinStep<double>{}) : fill(LangevinStep<float>{});
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) { library.impl("langevin_step_", TORCH_BOX(&langevin_step_)); }

}  // namespace pyslsac
