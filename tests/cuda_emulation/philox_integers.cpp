#include "../../csrc/cuda/philox_integers.cu"

using namespace pyslsac;

extern "C" void run(int64_t* out, int64_t runs, int64_t elements, const int64_t* seed, int64_t seeds,
                    const int64_t* step, const int64_t* high, int64_t stream) {
  cuda::philox_integers(
      {out, runs, elements, {seed, seeds > 1, 0}, {step, 0, 0}, {high, 0, 0}, static_cast<uint32_t>(stream)}, nullptr);
}
