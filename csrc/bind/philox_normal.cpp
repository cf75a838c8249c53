#include "../philox_normal.h"

#include "checks.h"

namespace pyslsac {

namespace {

void philox_normal_(Tensor out, Tensor seed, Tensor step, int64_t stream, int64_t first) {
  const char* op = "philox_normal";
  require(out.scalar_type() == ScalarType::Float && out.dim() == 2 && out.is_contiguous(), op, "out", out,
          "float32 [R, P], contiguous");
  require(stream >= 0 && stream <= 0xFFFFFFFF, op, "stream", stream, "an integer of 32 bits");
  require(first >= 0 && first <= kPhiloxElements - out.size(1), op, "first", first,
          "elements below " + std::to_string(kPhiloxElements));
  const PhiloxNormal args{static_cast<float*>(out.mutable_data_ptr()),
                          out.size(0),
                          out.size(1),
                          first,
                          per_run<int64_t>(op, "seed", seed, out.size(0), out),
                          per_run<int64_t>(op, "step", step, 1, out),
                          static_cast<uint32_t>(stream)};
  launch(backend::philox_normal, args, out, out.numel(), 8192);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) { library.impl("philox_normal_", TORCH_BOX(&philox_normal_)); }

}  // namespace pyslsac
