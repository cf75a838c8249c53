#include "../../csrc/cuda/adam.cu"

#include <vector>

using namespace pyslsac;

struct Row {  // of the table that the test writes
  int64_t param, grad, exp_avg, exp_avg_sq, step, size;
};

// What csrc/bind/adam.cpp does after its checks; numbers: lr, beta1, beta2, eps, weight_decay, grad_norm.
extern "C" void run(const Row* rows, int64_t count, int64_t runs, const double* numbers, int64_t maximize,
                    int64_t decoupled, int64_t wide, double* sums) {
  std::vector<AdamTensor> tensors;
  int64_t chunks = 0;
  const auto pointer = [](int64_t address) { return reinterpret_cast<void*>(address); };
  for (const Row* r = rows; r < rows + count; ++r) {
    tensors.push_back({pointer(r->param), pointer(r->grad), pointer(r->exp_avg), pointer(r->exp_avg_sq),
                       static_cast<float*>(pointer(r->step)), r->size, chunks});
    chunks += runs * reduce_chunks(r->size);
  }
  const Adam args{tensors.data(), count,          chunks,     runs,       numbers[0],
                  numbers[1],     numbers[2],     numbers[3], numbers[4], numbers[5],
                  maximize != 0,  decoupled != 0, wide != 0,  sums,       sums ? sums + chunks : nullptr};
  cuda::adam_sums(args, nullptr);
  if (args.norms()) cuda::adam_factors(args, nullptr);
  cuda::adam_step(args, nullptr);
}
