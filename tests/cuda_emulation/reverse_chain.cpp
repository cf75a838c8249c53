#include "../../csrc/cuda/reverse_chain.cu"

#include <vector>

#include "../../csrc/cuda/perceptron.cu"
#include "perceptron_of.h"

using namespace pyslsac;

struct Chain {  // of the table that the test writes
  int64_t runs, batch, levels, states, actions, embedding, keep;
  int64_t obs, noise, table, gain, spread, inputs, x, path, grad, score_grad, x_grad, table_grad;
};

namespace {

// With the host's copies of gain and spread, which are in no buffer.
ReverseChain arguments(const Row* rows, int64_t layers, const Chain& c, std::vector<double>* numbers) {
  const auto* gain = reinterpret_cast<const double*>(c.gain);
  const auto* spread = reinterpret_cast<const double*>(c.spread);
  numbers->assign(gain, gain + c.levels);
  if (spread) numbers->insert(numbers->end(), spread, spread + c.levels);
  ReverseChain args{};
  args.score = perceptron_of(rows, layers, nullptr, c.runs, 1, c.batch);
  args.levels = c.levels, args.states = c.states, args.actions = c.actions, args.embedding = c.embedding;
  args.keep = c.keep, args.obs = pointer(c.obs), args.noise = pointer(c.noise), args.table = pointer(c.table);
  args.gain = numbers->data(), args.spread = spread ? numbers->data() + c.levels : nullptr;
  args.inputs = pointer(c.inputs), args.x = pointer(c.x), args.path = pointer(c.path), args.grad = pointer(c.grad);
  args.score.y_grad = args.score_grad = pointer(c.score_grad), args.table_grad = pointer(c.table_grad);
  args.score.x_grad = pointer(c.x_grad), args.score.x_columns = c.x_grad ? c.actions + c.embedding : 0;
  return args;
}

}  // namespace

extern "C" void scratch(const Row* rows, int64_t layers, const Chain* chain, int64_t* numbers) {
  std::vector<double> host;
  *numbers = cuda::reverse_chain_scratch(arguments(rows, layers, *chain, &host));
}

extern "C" void forward(const Row* rows, int64_t layers, const Chain* chain, float* scratch) {
  std::vector<double> host;
  cuda::reverse_chain({arguments(rows, layers, *chain, &host), scratch, multiply}, nullptr);
}

extern "C" void backward(const Row* rows, int64_t layers, const Chain* chain, float* scratch) {
  std::vector<double> host;
  cuda::reverse_chain_backward({arguments(rows, layers, *chain, &host), scratch, multiply}, nullptr);
}
