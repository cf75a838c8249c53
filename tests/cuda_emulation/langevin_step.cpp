#include "../../csrc/cuda/langevin_step.cu"

using namespace pyslsac;

#define RUN(name, T)                                                                                               \
  extern "C" void name(T* action, const T* grad, double* chunk_sums, int64_t runs, int64_t batch, int64_t dim,     \
                       const T* numbers, int64_t limit, double grad_cap, const int64_t* seed, const int64_t* step, \
                       int64_t stream) {                                                                           \
    LangevinStep<T> args{};                                                                                        \
    args.action = action, args.grad = grad, args.chunk_sums = chunk_sums;                                          \
    args.runs = runs, args.batch = batch, args.dim = dim, args.low = -1, args.high = 1;                            \
    args.step_size = {numbers, 1, 0}, args.temperature = {numbers + runs, 1, 0};                                   \
    args.drift_scale = {numbers + 2 * runs, 1, 0}, args.seed = {seed, 1, 0}, args.step = {step, 0, 0};             \
    args.limit = static_cast<GradLimit>(limit), args.grad_cap = static_cast<T>(grad_cap), args.stream = stream;    \
    if (args.limit == GradLimit::cap_run) cuda::sum_grad_squares(args, nullptr);                                   \
    cuda::langevin_step(args, nullptr);                                                                            \
  }
RUN(float32, float)
RUN(float64, double)
