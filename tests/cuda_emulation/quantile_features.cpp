#include "../../csrc/cuda/quantile_features.cu"

using namespace pyslsac;

#define RUN(name, T)                                                                                              \
  static QuantileFeatures<T> arguments(const T* const* in, T* features, const int64_t* sizes) {                   \
    return {in[0],    in[1],    in[2],    in[3],    in[4],    in[5],    features,                                 \
            sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], false};                                   \
  }                                                                                                               \
  extern "C" void name##_forward(const T* const* in, T* features, const int64_t* sizes) {                         \
    cuda::quantile_features(arguments(in, features, sizes), nullptr);                                             \
  }                                                                                                               \
  extern "C" void name##_backward(const T* const* in, T* features, const int64_t* sizes, const T* grad,           \
                                  T* const* out) {                                                                \
    const QuantileFeaturesGrad<T> args{                                                                           \
        arguments(in, features, sizes), grad, out[0], out[1], out[2], out[3], out[4], out[5], out[1] != nullptr}; \
    cuda::quantile_features_backward(args, nullptr);                                                              \
    if (args.weights) cuda::quantile_features_weights(args, nullptr);                                             \
  }
RUN(float32, float)
RUN(float64, double)
