#include "../../csrc/cuda/quantile_huber.cu"

using namespace pyslsac;

#define RUN(name, T)                                                                                                  \
  extern "C" void name(const T* pred, const T* target, const T* tau, Wide<T>* loss, T* grad, int64_t rows,            \
                       int64_t preds, int64_t targets, double kappa) {                                                \
    cuda::quantile_huber(                                                                                             \
        QuantileHuber<T>{pred, target, tau, loss, grad, rows, preds, targets, static_cast<Wide<T>>(kappa)}, nullptr); \
  }
RUN(float32, float)
RUN(float64, double)
RUN(bfloat16, Bfloat16)
