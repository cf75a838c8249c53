#include "../../csrc/cuda/perceptron.cu"

#include "perceptron_of.h"

using namespace pyslsac;

extern "C" int64_t scratch(int64_t widest, int64_t inputs, int64_t networks, int64_t shared, int64_t batch) {
  Perceptron args{};
  args.layers = 1, args.networks = networks, args.shared = shared, args.batch = batch;
  args.layer[0].inputs = inputs, args.layer[0].outputs = widest;
  return cuda::perceptron_scratch(args);
}

extern "C" void forward(const Row* rows, int64_t layers, const float* x, int64_t networks, int64_t shared,
                        int64_t batch, float* scratch) {
  cuda::perceptron({perceptron_of(rows, layers, x, networks, shared, batch), scratch, multiply}, nullptr);
}

extern "C" void backward(const Row* rows, int64_t layers, const float* x, int64_t networks, int64_t shared,
                         int64_t batch, const float* y_grad, float* x_grad, int64_t x_columns, float* scratch) {
  Perceptron args = perceptron_of(rows, layers, x, networks, shared, batch);
  args.y_grad = y_grad, args.x_grad = x_grad, args.x_columns = x_columns;
  cuda::perceptron_backward({args, scratch, multiply}, nullptr);
}
