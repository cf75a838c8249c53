#include "../../csrc/cuda/philox_normal.cu"

using namespace pyslsac;

extern "C" void run(float* out, int64_t runs, int64_t elements, int64_t first, const int64_t* seed, int64_t seeds,
                    const int64_t* step, int64_t stream) {
  cuda::philox_normal({out, runs, elements, first, {seed, seeds > 1, 0}, {step, 0, 0}, static_cast<uint32_t>(stream)},
                      nullptr);
}
