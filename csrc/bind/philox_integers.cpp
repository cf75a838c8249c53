#include "../philox_integers.h"

#include "checks.h"

namespace pyslsac {

namespace {

void philox_integers_(Tensor out, Tensor seed, Tensor step, Tensor high, int64_t stream) {
  const char* op = "philox_integers";
  require(out.scalar_type() == ScalarType::Long && out.dim() == 2 && out.is_contiguous(), op, "out", out,
          "int64 [R, P], contiguous");
  require(out.size(1) <= kPhiloxIntegers, op, "out", out, "at most " + std::to_string(kPhiloxIntegers) + " a run");
  require(stream >= 0 && stream <= 0xFFFFFFFF, op, "stream", stream, "an integer of 32 bits");
  const PhiloxIntegers args{static_cast<int64_t*>(out.mutable_data_ptr()),
                            out.size(0),
                            out.size(1),
                            per_run<int64_t>(op, "seed", seed, out.size(0), out),
                            per_run<int64_t>(op, "step", step, 1, out),
                            per_run<int64_t>(op, "high", high, 1, out),
                            static_cast<uint32_t>(stream)};
  if (!args.high.data)
    require(args.high[0] >= 1 && args.high[0] <= kPhiloxHigh, op, "high", args.high[0],
            "1 .. " + std::to_string(kPhiloxHigh));
  launch(backend::philox_integers, args, out, out.numel(), 8192);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyslsac, PYSLSAC_KEY, library) {
  library.impl("philox_integers_", TORCH_BOX(&philox_integers_));
}

}  // namespace pyslsac
