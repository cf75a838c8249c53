#include "../estep_dual.h"

#include <tuple>

#include "checks.h"
#include "room.h"

namespace pyslsac {

namespace {

std::tuple<Tensor, Tensor> estep_dual(Tensor q, Tensor eta, Tensor multiplier, double eps, double budget, int64_t steps,
                                      double maximum) {
  const char* op = "estep_dual";
  const bool fits = q.scalar_type() == ScalarType::Double && q.is_contiguous() && q.dim() == 4 && q.size(1) == 2;
  require(fits && q.size(0) > 0 && q.size(2) > 0 && q.size(3) > 0, op, "q", q, "float64 [R, 2, B, K], contiguous");
  Tensor ends[2];
  for (const int i : {0, 1}) {
    const Tensor& start = i ? multiplier : eta;
    const bool good = start.scalar_type() == ScalarType::Double && start.dim() == 1 && start.size(0) == q.size(0) &&
                      same_device(start, q) && start.is_contiguous();
    if (!good)
      require(false, op, i ? "multiplier" : "eta", start, "float64 [" + std::to_string(q.size(0)) + "] beside q");
    ends[i] = torch::stable::clone(start);
  }
  require(steps >= 0, op, "steps", steps, "at least 0");
  require(maximum >= 0, op, "maximum", maximum, "at least 0");
  const auto data = [](const Tensor& tensor) { return static_cast<double*>(tensor.mutable_data_ptr()); };
  EstepDual args{static_cast<const double*>(q.const_data_ptr()),
                 data(ends[0]),
                 data(ends[1]),
                 q.size(0),
                 q.size(2),
                 q.size(3),
                 steps,
                 eps,
                 budget,
                 maximum,
                 nullptr};
  const Tensor scratch = room(q, {args.runs * backend::estep_dual_scratch(args)});
  args.scratch = data(scratch);
  launch(backend::estep_dual, args, q, args.runs, 1);
  return {ends[0], ends[1]};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) { library.impl("estep_dual", TORCH_BOX(&estep_dual)); }

}  // namespace pyslsac
