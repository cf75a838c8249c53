#include "../implicit_quantiles.h"

#include <tuple>

#include "checks.h"
#include "room.h"

namespace pyslsac {

namespace {

using Two = std::tuple<Tensor, Tensor>;
using Five = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;

// Sizes from psi [G, B, K], tau [G, B, N], phi_weight [G, C, K] and weight [G, K, H]; all others follow from these.
// Without `bias` and `head` for the way back.
template <typename T>
ImplicitQuantiles<T> arguments(const char* op, const Tensor& psi, const Tensor& tau, const Tensor& phi_weight,
                               const Tensor& phi_bias, const Tensor& weight, const Tensor* bias, const Tensor* head,
                               bool bf16) {
  constexpr ScalarType type = torch::headeronly::CppTypeToScalarType<T>::value;
  require(psi.scalar_type() == type && psi.dim() == 3, op, "psi", psi, "float32 or float64 [G, B, K], contiguous");
  const int64_t runs = psi.size(0), batch = psi.size(1), width = psi.size(2);
  const auto data = [&](const char* argument, const Tensor& tensor, std::initializer_list<int64_t> sizes,
                        const char* shape) {
    bool fits = tensor.dim() == static_cast<int64_t>(sizes.size()) && tensor.scalar_type() == type &&
                same_device(tensor, psi) && tensor.is_contiguous();
    const int64_t* size = sizes.begin();
    for (int64_t axis = 0; fits && axis < tensor.dim(); ++axis, ++size) fits = *size < 0 || tensor.size(axis) == *size;
    if (!fits) require(false, op, argument, tensor, std::string(shape) + ", contiguous, beside psi: " + describe(psi));
    return static_cast<const T*>(tensor.const_data_ptr());
  };
  ImplicitQuantiles<T> args{};
  args.runs = runs, args.batch = batch, args.width = width;
  args.psi = data("psi", psi, {runs, batch, width}, "[G, B, K]");
  args.tau = data("tau", tau, {runs, batch, -1}, "[G, B, N]");
  args.phi_weight = data("phi_weight", phi_weight, {runs, -1, width}, "[G, C, K]");
  args.fractions = tau.size(2), args.inputs = phi_weight.size(1);
  args.phi_bias = data("phi_bias", phi_bias, {runs, width}, "[G, K]");
  args.weight = data("weight", weight, {runs, width, -1}, "[G, K, H]");
  args.outputs = weight.size(2);
  if (bias) args.bias = data("bias", *bias, {runs, args.outputs}, "[G, H]");
  if (head) args.head = data("head", *head, {runs, args.outputs}, "[G, H]");
  require(!bf16 || (type == ScalarType::Float && !psi.is_cuda()), op, "bf16", bf16, "false for float64 and on CUDA");
  args.bf16 = bf16;
  return args;
}

// Units of `states` to a thread: at least about 10 us of work.
template <typename T>
int64_t grain(const ImplicitQuantiles<T>& args, int64_t states) {
  return (1 << 20) / (states * args.fractions * args.width * (args.inputs + args.outputs) + 1) + 1;
}

// Room for the cosines on CUDA; it stays until the launch.
template <typename T>
Tensor cosine_room(const Tensor& psi, ImplicitQuantiles<T>& args) {
  Tensor made = room(psi, {psi.is_cuda() ? args.runs * args.batch * args.fractions * args.inputs : 0});
  args.cosines = static_cast<T*>(made.mutable_data_ptr());
  return made;
}

template <typename T>
Two forward(const Tensor& psi, const Tensor& tau, const Tensor& phi_weight, const Tensor& phi_bias,
            const Tensor& weight, const Tensor& bias, const Tensor& head, bool keep, bool bf16) {
  auto args = arguments<T>("implicit_quantiles", psi, tau, phi_weight, phi_bias, weight, &bias, &head, bf16);
  Tensor quantiles = room(psi, {args.runs, args.batch, args.fractions});
  Tensor active = room(psi, {args.runs, args.batch, args.fractions, keep ? words(args.outputs) : 0}, ScalarType::Int);
  args.quantiles = static_cast<T*>(quantiles.mutable_data_ptr());
  args.active = keep ? static_cast<uint32_t*>(active.mutable_data_ptr()) : nullptr;
  const Tensor cosines = cosine_room(psi, args);
  const int64_t some = bf16 ? args.batch : 32;  // first comes room, and in bfloat16 a run's weights are packed
  launch_shared<ImplicitQuantiles<T>>(backend::implicit_quantiles, args, psi, args.runs * args.batch, grain(args, 1),
                                      some);
  return {quantiles, active};
}

template <typename T>
Five backward(const Tensor& grad, const Tensor& active, const Tensor& psi, const Tensor& tau, const Tensor& phi_weight,
              const Tensor& phi_bias, const Tensor& weight, bool weights, bool bf16) {
  const char* op = "implicit_quantiles_backward";
  ImplicitQuantilesGrad<T> args{};
  args.weights = weights;
  args.forward = arguments<T>(op, psi, tau, phi_weight, phi_bias, weight, nullptr, nullptr, bf16);
  const ImplicitQuantiles<T>& a = args.forward;
  const auto fits = [&](const Tensor& tensor, ScalarType type, IntHeaderOnlyArrayRef sizes) {
    return tensor.scalar_type() == type && same_device(tensor, psi) && tensor.is_contiguous() &&
           tensor.sizes() == sizes;
  };
  require(fits(grad, psi.scalar_type(), {a.runs, a.batch, a.fractions}), op, "grad", grad,
          "[G, B, N], contiguous, beside psi: " + describe(psi));
  require(fits(active, ScalarType::Int, {a.runs, a.batch, a.fractions, words(a.outputs)}), op, "active", active,
          "int32 [G, B, N, ceil(H / 32)], contiguous, beside psi: " + describe(psi));
  args.forward.active = static_cast<uint32_t*>(active.data_ptr());
  args.grad = static_cast<const T*>(grad.const_data_ptr());
  const auto make = [&](IntHeaderOnlyArrayRef sizes, T** data) {
    Tensor made = room(psi, weights ? sizes : IntHeaderOnlyArrayRef{0});
    *data = static_cast<T*>(made.mutable_data_ptr());
    return made;
  };
  const Tensor cosines = cosine_room(psi, args.forward);
  Tensor psi_grad = room(psi, psi.sizes());
  args.psi = static_cast<T*>(psi_grad.mutable_data_ptr());
  Five made{psi_grad, make(phi_weight.sizes(), &args.phi_weight), make(phi_bias.sizes(), &args.phi_bias),
            make(weight.sizes(), &args.weight), make({a.runs, a.outputs}, &args.bias)};
  Tensor scratch = room(psi, {weights ? backend::implicit_quantiles_scratch(a) : 0});
  args.scratch = static_cast<T*>(scratch.mutable_data_ptr());
  launch_shared<ImplicitQuantilesGrad<T>>(backend::implicit_quantiles_backward, args, psi, a.runs * cpu::kSlabs,
                                          grain(a, a.batch / cpu::kSlabs), bf16 ? cpu::kSlabs : 1);
  if (weights)
    launch<ImplicitQuantilesGrad<T>>(backend::implicit_quantiles_weights, args, psi, a.runs * (a.width + 1), 32);
  return made;
}

Two implicit_quantiles(Tensor psi, Tensor tau, Tensor phi_weight, Tensor phi_bias, Tensor weight, Tensor bias,
                       Tensor head, bool keep, bool bf16) {
  const auto call = psi.scalar_type() == ScalarType::Double ? forward<double> : forward<float>;
  return call(psi, tau, phi_weight, phi_bias, weight, bias, head, keep, bf16);
}

Five implicit_quantiles_backward(Tensor grad, Tensor active, Tensor psi, Tensor tau, Tensor phi_weight, Tensor phi_bias,
                                 Tensor weight, bool weights, bool bf16) {
  const auto call = psi.scalar_type() == ScalarType::Double ? backward<double> : backward<float>;
  return call(grad, active, psi, tau, phi_weight, phi_bias, weight, weights, bf16);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) {
  library.impl("implicit_quantiles", TORCH_BOX(&implicit_quantiles));
  library.impl("implicit_quantiles_backward", TORCH_BOX(&implicit_quantiles_backward));
}

}  // namespace pyslsac
