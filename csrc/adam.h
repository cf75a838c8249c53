// adam_: gradients clipped by each run's norm, then a step of Adam (formulas: pyslsac/ops/adam.py).
#pragma once

#include <cstdint>

#include "platform.h"

namespace pyslsac {

// One parameter [R, P] of float or, in `wide` lists, double.
struct AdamTensor {
  void *param, *grad, *exp_avg, *exp_avg_sq;
  double step;                // this one's number, from 1
  int64_t size, first_chunk;  // P; the number of its first chunk, which run follows run
};

struct Adam {
  const AdamTensor* tensors;
  int64_t count, chunks, runs;
  double lr, beta1, beta2, eps, weight_decay, grad_norm;  // grad_norm: infinite for none
  bool maximize, wide;
  double *sums, *factors;  // [chunks] of squares; [R] that bring the runs' norms to grad_norm
};

namespace cpu {  // over chunks, runs, chunks
void adam_sums(const Adam& args, int64_t begin, int64_t end);
void adam_factors(const Adam& args, int64_t begin, int64_t end);
void adam_step(const Adam& args, int64_t begin, int64_t end);
}  // namespace cpu

}  // namespace pyslsac
