#include "../../csrc/cuda/asgld.cu"

#include <vector>

using namespace pyslsac;

struct Row {  // of the table that the test writes
  int64_t param, grad, exp_avg, exp_avg_sq, residual, target, step, size, offset, stream, storage;
};

// What csrc/bind/asgld.cpp does after its checks.
extern "C" void run(const Row* rows, int64_t count, int64_t networks, int64_t runs, const int64_t* seed,
                    const double* lr, const double* temperature, const float* grad_scale, const float* found_inf,
                    const double* numbers, int64_t variant, int64_t clip, int64_t maximize, double* sums) {
  std::vector<AsgldTensor> tensors;
  int64_t chunks = 0;
  const auto pointer = [](int64_t address) { return reinterpret_cast<void*>(address); };
  for (const Row* r = rows; r < rows + count; ++r) {
    tensors.push_back({pointer(r->param), pointer(r->grad), pointer(r->exp_avg), pointer(r->exp_avg_sq),
                       pointer(r->residual), pointer(r->target), static_cast<const int64_t*>(pointer(r->step)), r->size,
                       r->offset, chunks, static_cast<uint32_t>(r->stream), static_cast<Storage>(r->storage)});
    chunks += networks * reduce_chunks(r->size);
  }
  const Asgld args{tensors.data(),
                   count,
                   chunks,
                   networks,
                   runs,
                   {seed, 1, 0},
                   {lr, 0, 0},
                   {temperature, 0, 0},
                   grad_scale,
                   found_inf,
                   numbers[0],
                   numbers[1],
                   numbers[2],
                   numbers[3],
                   numbers[4],
                   numbers[5],
                   numbers[6],
                   static_cast<Variant>(variant),
                   static_cast<Clip>(clip),
                   maximize != 0,
                   true,
                   sums,
                   sums + chunks};
  if (args.norms()) {
    cuda::asgld_sums(args, nullptr);
    cuda::asgld_factors(args, nullptr);
  }
  cuda::asgld_step(args, nullptr);
}
