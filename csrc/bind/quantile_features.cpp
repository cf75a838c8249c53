#include "../quantile_features.h"

#include <tuple>

#include "checks.h"
#include "room.h"

namespace pyslsac {

namespace {

using Five = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;

// Sizes from psi [G, B, K], cosines [G, B, N, C] and weight [G, K, H]; all others follow from these.
template <typename T>
QuantileFeatures<T> arguments(const char* op, const Tensor& psi, const Tensor& cosines, const Tensor& phi_weight,
                              const Tensor& phi_bias, const Tensor& weight, const Tensor& bias, bool bf16,
                              const Tensor* out) {
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
  QuantileFeatures<T> args{};
  args.runs = runs, args.batch = batch, args.width = width;
  args.psi = data("psi", psi, {runs, batch, width}, "[G, B, K]");
  args.cosines = data("cosines", cosines, {runs, batch, -1, -1}, "[G, B, N, C]");
  args.quantiles = cosines.size(2), args.inputs = cosines.size(3);
  args.phi_weight = data("phi_weight", phi_weight, {runs, args.inputs, width}, "[G, C, K]");
  args.phi_bias = data("phi_bias", phi_bias, {runs, width}, "[G, K]");
  args.weight = data("weight", weight, {runs, width, -1}, "[G, K, H]");
  args.outputs = weight.size(2);
  args.bias = data("bias", bias, {runs, args.outputs}, "[G, H]");
  require(!bf16 || (type == ScalarType::Float && !psi.is_cuda()), op, "bf16", bf16, "false for float64 and on CUDA");
  args.bf16 = bf16;
  if (out) data("features", *out, {runs, batch, args.quantiles, args.outputs}, "[G, B, N, H]");
  return args;
}

// Units of `states` to a thread: at least about 10 us of work.
template <typename T>
int64_t grain(const QuantileFeatures<T>& args, int64_t states) {
  return (1 << 20) / (states * args.quantiles * args.width * (args.inputs + args.outputs) + 1) + 1;
}

template <typename T>
Tensor forward(const Tensor& psi, const Tensor& cosines, const Tensor& phi_weight, const Tensor& phi_bias,
               const Tensor& weight, const Tensor& bias, bool bf16) {
  auto args = arguments<T>("quantile_features", psi, cosines, phi_weight, phi_bias, weight, bias, bf16, nullptr);
  Tensor features = room(psi, {args.runs, args.batch, args.quantiles, args.outputs});
  args.features = static_cast<T*>(features.mutable_data_ptr());
  launch<QuantileFeatures<T>>(backend::quantile_features, args, psi, args.runs * args.batch, grain(args, 1));
  return features;
}

template <typename T>
Five backward(const Tensor& grad, const Tensor& features, const Tensor& psi, const Tensor& cosines,
              const Tensor& phi_weight, const Tensor& phi_bias, const Tensor& weight, const Tensor& bias, bool weights,
              bool bf16) {
  const char* op = "quantile_features_backward";
  QuantileFeaturesGrad<T> args{};
  args.weights = weights,
  args.forward = arguments<T>(op, psi, cosines, phi_weight, phi_bias, weight, bias, bf16, &features);
  require_like(op, "grad", grad, features);
  args.forward.features = static_cast<T*>(features.data_ptr());
  args.grad = static_cast<const T*>(grad.const_data_ptr());
  const auto make = [&](const Tensor& like, T** data) {
    Tensor made = room(like, weights ? like.sizes() : IntHeaderOnlyArrayRef{0});
    *data = static_cast<T*>(made.mutable_data_ptr());
    return made;
  };
  Tensor psi_grad = room(psi, psi.sizes());
  args.psi = static_cast<T*>(psi_grad.mutable_data_ptr());
  Five made{psi_grad, make(phi_weight, &args.phi_weight), make(phi_bias, &args.phi_bias), make(weight, &args.weight),
            make(bias, &args.bias)};
  const int64_t runs = args.forward.runs, size = weights ? backend::quantile_features_scratch(args.forward) : 0;
  Tensor scratch = room(psi, {size});
  args.scratch = static_cast<T*>(scratch.mutable_data_ptr());
  launch<QuantileFeaturesGrad<T>>(backend::quantile_features_backward, args, psi, runs * cpu::kSlabs,
                                  grain(args.forward, args.forward.batch / cpu::kSlabs));
  if (weights)
    launch<QuantileFeaturesGrad<T>>(backend::quantile_features_weights, args, psi, runs * (args.forward.width + 1), 32);
  return made;
}

Tensor quantile_features(Tensor psi, Tensor cosines, Tensor phi_weight, Tensor phi_bias, Tensor weight, Tensor bias,
                         bool bf16) {
  return (psi.scalar_type() == ScalarType::Double ? forward<double> : forward<float>)(psi, cosines, phi_weight,
                                                                                      phi_bias, weight, bias, bf16);
}

Five quantile_features_backward(Tensor grad, Tensor features, Tensor psi, Tensor cosines, Tensor phi_weight,
                                Tensor phi_bias, Tensor weight, Tensor bias, bool weights, bool bf16) {
  return (psi.scalar_type() == ScalarType::Double ? backward<double> : backward<float>)(grad, features, psi, cosines,
                                                                                        phi_weight, phi_bias, weight,
                                                                                        bias, weights, bf16);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) {
  library.impl("quantile_features", TORCH_BOX(&quantile_features));
  library.impl("quantile_features_backward", TORCH_BOX(&quantile_features_backward));
}

}  // namespace pyslsac
