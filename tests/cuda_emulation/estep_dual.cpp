#include "../../csrc/cuda/estep_dual.cu"

using namespace pyslsac;

extern "C" int64_t scratch(int64_t runs, int64_t states) {
  EstepDual args{};
  args.runs = runs, args.states = states;
  return runs * cuda::estep_dual_scratch(args);
}

extern "C" void run(const double* q, double* eta, double* multiplier, int64_t runs, int64_t states, int64_t actions,
                    int64_t steps, double eps, double budget, double maximum, double* scratch) {
  cuda::estep_dual({q, eta, multiplier, runs, states, actions, steps, eps, budget, maximum, scratch}, nullptr);
}
