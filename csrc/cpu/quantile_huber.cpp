#include "../quantile_huber.h"

#include <algorithm>
#include <cmath>

namespace pyslsac {

namespace {

constexpr int64_t kLanes = 32;  // predictions side by side, of one row

// The lanes meet one target after another, their sums side by side in registers; a row's sums are then added in the
// order of its predictions. So neither rows nor SIMD width nor threads change a bit.
template <typename T>
HOST_DEVICE void quantile_huber_rows(const QuantileHuber<T>& args, int64_t begin, int64_t end) {
  using Real = Wide<T>;
  const Real kappa = args.kappa, scale = 1 / (static_cast<Real>(args.targets) * kappa);
  for (int64_t row = begin; row < end; ++row) {
    const T* targets = args.target + row * args.targets;
    Real total = 0;
    for (int64_t first = 0; first < args.preds; first += kLanes) {
      const int64_t count = std::min(kLanes, args.preds - first), offset = row * args.preds + first;
      Real pred[kLanes]{}, above[kLanes]{}, below[kLanes]{}, loss[kLanes]{}, slopes[kLanes]{};
      for (int64_t lane = 0; lane < count; ++lane) {
        const Real tau = widen(args.tau[offset + lane]);
        pred[lane] = widen(args.pred[offset + lane]);
        above[lane] = std::abs(tau);
        below[lane] = std::abs(tau - 1);
      }
      for (int64_t j = 0; j < args.targets; ++j) {
        const Real target = widen(targets[j]);
        for (int64_t lane = 0; lane < kLanes; ++lane)
          add_pair(pred[lane], target, above[lane], below[lane], kappa, &loss[lane], &slopes[lane]);
      }
      for (int64_t lane = 0; lane < count; ++lane) {
        args.grad[offset + lane] = narrow<T>(-scale * slopes[lane]);
        total += loss[lane];
      }
    }
    args.loss[row] = scale * total;
  }
}

SIMD_CLONES void rows_float(const QuantileHuber<float>& args, int64_t begin, int64_t end) {
  quantile_huber_rows(args, begin, end);
}
SIMD_CLONES void rows_double(const QuantileHuber<double>& args, int64_t begin, int64_t end) {
  quantile_huber_rows(args, begin, end);
}
SIMD_CLONES void rows_bfloat16(const QuantileHuber<Bfloat16>& args, int64_t begin, int64_t end) {
  quantile_huber_rows(args, begin, end);
}

}  // namespace

namespace cpu {

template <>
void quantile_huber(const QuantileHuber<float>& args, int64_t begin, int64_t end) {
  rows_float(args, begin, end);
}
template <>
void quantile_huber(const QuantileHuber<double>& args, int64_t begin, int64_t end) {
  rows_double(args, begin, end);
}
template <>
void quantile_huber(const QuantileHuber<Bfloat16>& args, int64_t begin, int64_t end) {
  rows_bfloat16(args, begin, end);
}

}  // namespace cpu
}  // namespace pyslsac
