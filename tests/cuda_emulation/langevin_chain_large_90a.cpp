#include "../../csrc/cuda/langevin_chain_large_90a.cu"

#include "chain_of.h"

using namespace pyslsac;

extern "C" void run(const float* obs, const float* start, float* action, float* path, float* values, const void*,
                    const float* prior_mean, const float* prior_std, const float* const* weights,
                    const float* const* biases, const float* const* step_bias, const int64_t* sizes,
                    const int64_t* kinds, const float* const* numbers, const int64_t* seed, const int64_t* step) {
  const cuda::ChainLarge args{chain_of(obs, start, action, path, values, prior_mean, prior_std, weights, biases,
                                       step_bias, sizes, kinds, numbers, seed, step)};
  cuda::langevin_chain_large(args, nullptr);
}
