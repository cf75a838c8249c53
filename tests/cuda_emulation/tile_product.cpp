#include "tile_product.cu"

using namespace pyslsac;

extern "C" void run(const void* a, const void* b, float* c, int64_t m, int64_t n, int64_t k) {
  start_tile_product({static_cast<const Bfloat16*>(a), static_cast<const Bfloat16*>(b), c, int(m), int(n), int(k)},
                     nullptr);
}
