#include "../quantile_huber.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "checks.h"
#include "room.h"

namespace pyslsac {

namespace {

template <typename T>
void run(const Tensor& pred, const Tensor& target, const Tensor& tau, double kappa, Tensor& loss, Tensor& grad) {
  const int64_t preds = pred.size(-1), targets = target.size(-1);
  const QuantileHuber<T> args{static_cast<const T*>(pred.const_data_ptr()),
                              static_cast<const T*>(target.const_data_ptr()),
                              static_cast<const T*>(tau.const_data_ptr()),
                              static_cast<Wide<T>*>(loss.mutable_data_ptr()),
                              static_cast<T*>(grad.mutable_data_ptr()),
                              loss.numel(),
                              preds,
                              targets,
                              static_cast<Wide<T>>(kappa)};
  const int64_t grain = 32768 / std::max<int64_t>(1, preds * targets) + 1;  // rows of about 10 us
  launch<QuantileHuber<T>>(backend::quantile_huber, args, pred, args.rows, grain);
}

std::tuple<Tensor, Tensor> quantile_huber(Tensor pred, Tensor target, Tensor tau, double kappa) {
  const char* op = "quantile_huber";
  const ScalarType type = pred.scalar_type();
  const bool typed = type == ScalarType::Float || type == ScalarType::Double || type == ScalarType::BFloat16;
  require(typed && pred.dim() > 0 && pred.is_contiguous(), op, "pred", pred,
          "float32, float64 or bfloat16 [..., N], contiguous");
  require_like(op, "tau", tau, pred);
  bool rows = target.dim() == pred.dim() && target.size(-1) > 0;
  for (int64_t i = 0; rows && i < pred.dim() - 1; ++i) rows = target.size(i) == pred.size(i);
  if (!rows || target.scalar_type() != type || !same_device(target, pred) || !target.is_contiguous())
    require(false, op, "target", target, "[..., M] with M > 0, else as pred is: " + describe(pred));
  const ScalarType wide = type == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
  const double rounded = wide == ScalarType::Double ? kappa : static_cast<float>(kappa);
  require(std::isfinite(rounded) && rounded > 0, op, "kappa", kappa, "a finite number above 0");

  const std::vector<int64_t> shape(pred.sizes().begin(), pred.sizes().end() - 1);
  Tensor loss = torch::stable::new_empty(pred, shape, wide);
  Tensor grad = room(pred, pred.sizes());
  if (type == ScalarType::Double) {
    run<double>(pred, target, tau, kappa, loss, grad);
  } else if (type == ScalarType::Float) {
    run<float>(pred, target, tau, kappa, loss, grad);
  } else {
    run<Bfloat16>(pred, target, tau, kappa, loss, grad);
  }
  return {loss, grad};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) { library.impl("quantile_huber", TORCH_BOX(&quantile_huber)); }

}  // namespace pyslsac
