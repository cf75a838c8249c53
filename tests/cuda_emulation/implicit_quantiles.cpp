#include "../../csrc/cuda/implicit_quantiles.cu"

using namespace pyslsac;

#define RUN(name, T)                                                                                      \
  static ImplicitQuantiles<T> arguments(const T* const* in, T* cosines, T* quantiles, uint32_t* active,   \
                                        const int64_t* sizes) {                                           \
    return {in[0],    in[1],    in[2],    in[3],    in[4],    in[5],    in[6],   quantiles, active,       \
            sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], cosines, false};                  \
  }                                                                                                       \
  extern "C" void name##_forward(const T* const* in, T* cosines, T* quantiles, uint32_t* active,          \
                                 const int64_t* sizes) {                                                  \
    cuda::implicit_quantiles(arguments(in, cosines, quantiles, active, sizes), nullptr);                  \
  }                                                                                                       \
  extern "C" void name##_backward(const T* const* in, T* cosines, uint32_t* active, const int64_t* sizes, \
                                  const T* grad, T* const* out) {                                         \
    const ImplicitQuantilesGrad<T> args{arguments(in, cosines, nullptr, active, sizes),                   \
                                        grad,                                                             \
                                        out[0],                                                           \
                                        out[1],                                                           \
                                        out[2],                                                           \
                                        out[3],                                                           \
                                        out[4],                                                           \
                                        out[5],                                                           \
                                        out[1] != nullptr};                                               \
    cuda::implicit_quantiles_backward(args, nullptr);                                                     \
    if (args.weights) cuda::implicit_quantiles_weights(args, nullptr);                                    \
  }
RUN(float32, float)
RUN(float64, double)
