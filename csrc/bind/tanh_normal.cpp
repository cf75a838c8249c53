#include "../tanh_normal.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "checks.h"
#include "room.h"

namespace pyslsac {

namespace {

// The arguments that both ops have, checked: params [..., 2 A] and noise [..., A].
template <typename T>
TanhNormal<T> arguments(const char* op, const Tensor& params, const Tensor& noise) {
  const int64_t axes = params.dim(), actions = axes ? params.size(-1) / 2 : 0;
  require(axes > 0 && actions > 0 && params.size(-1) % 2 == 0 && params.is_contiguous(), op, "params", params,
          "[..., 2 A] with A > 0, contiguous");
  bool fits = noise.dim() == axes && noise.scalar_type() == params.scalar_type() && same_device(noise, params) &&
              noise.is_contiguous() && noise.size(-1) == actions;
  for (int64_t axis = 0; fits && axis < axes - 1; ++axis) fits = noise.size(axis) == params.size(axis);
  if (!fits) require(false, op, "noise", noise, "[..., A], contiguous, beside params: " + describe(params));
  TanhNormal<T> args{};
  args.params = static_cast<const T*>(params.const_data_ptr());
  args.noise = static_cast<const T*>(noise.const_data_ptr());
  args.rows = noise.numel() / actions, args.actions = actions;
  return args;
}

template <typename T>
std::tuple<Tensor, Tensor> forward(const Tensor& params, const Tensor& noise) {
  TanhNormal<T> args = arguments<T>("tanh_normal", params, noise);
  const std::vector<int64_t> rows(params.sizes().begin(), params.sizes().end() - 1);
  Tensor action = room(noise, noise.sizes()), log_prob = room(params, rows);
  args.action = static_cast<T*>(action.mutable_data_ptr());
  args.log_prob = static_cast<T*>(log_prob.mutable_data_ptr());
  launch<TanhNormal<T>>(backend::tanh_normal, args, params, args.rows, 4096 / args.actions + 1);
  return {action, log_prob};
}

template <typename T>
Tensor backward(const Tensor& params, const Tensor& noise, const Tensor& action, const Tensor& action_grad,
                const Tensor& log_prob_grad) {
  const char* op = "tanh_normal_backward";
  TanhNormal<T> args = arguments<T>(op, params, noise);
  require_like(op, "action", action, noise);
  require_like(op, "action_grad", action_grad, noise);
  const bool rows = log_prob_grad.numel() == args.rows && log_prob_grad.is_contiguous() &&
                    log_prob_grad.scalar_type() == params.scalar_type() && same_device(log_prob_grad, params);
  if (!rows) require(false, op, "log_prob_grad", log_prob_grad, "[...], contiguous, beside " + describe(params));
  Tensor params_grad = room(params, params.sizes());
  args.action = static_cast<T*>(action.data_ptr());
  args.action_grad = static_cast<const T*>(action_grad.const_data_ptr());
  args.log_prob_grad = static_cast<const T*>(log_prob_grad.const_data_ptr());
  args.params_grad = static_cast<T*>(params_grad.mutable_data_ptr());
  launch<TanhNormal<T>>(backend::tanh_normal_backward, args, params, args.rows, 4096 / args.actions + 1);
  return params_grad;
}

bool is_double(const char* op, const Tensor& params) {
  const ScalarType type = params.scalar_type();
  require(type == ScalarType::Float || type == ScalarType::Double, op, "params", params, "float32 or float64");
  return type == ScalarType::Double;
}

std::tuple<Tensor, Tensor> tanh_normal(Tensor params, Tensor noise) {
  return (is_double("tanh_normal", params) ? forward<double> : forward<float>)(params, noise);
}

Tensor tanh_normal_backward(Tensor params, Tensor noise, Tensor action, Tensor action_grad, Tensor log_prob_grad) {
  return (is_double("tanh_normal_backward", params) ? backward<double> : backward<float>)(params, noise, action,
                                                                                          action_grad, log_prob_grad);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) {
  library.impl("tanh_normal", TORCH_BOX(&tanh_normal));
  library.impl("tanh_normal_backward", TORCH_BOX(&tanh_normal_backward));
}

}  // namespace pyslsac
