#include "../../csrc/cuda/tanh_normal.cu"

using namespace pyslsac;

extern "C" void run(const float* params, const float* noise, float* action, float* log_prob, const float* action_grad,
                    const float* log_prob_grad, float* params_grad, int64_t rows, int64_t actions) {
  const TanhNormal<float> args{params, noise, action, log_prob, action_grad, log_prob_grad, params_grad, rows, actions};
  cuda::tanh_normal(args, nullptr);
  cuda::tanh_normal_backward(args, nullptr);
}
