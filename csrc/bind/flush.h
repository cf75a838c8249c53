// Denormal numbers.
#pragma once

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace pyslsac {

// While this lives they are zero in this thread, as they are in CUDA's kernels (--ftz). On x86 they are
// slow, and an optimizer meets them by the thousand: the moments of a unit without gradients halve every few steps.
class Flush {
#ifdef __SSE2__
  static constexpr unsigned kResults = 0x8000, kOperands = 0x0040;
  const unsigned before_ = _mm_getcsr();

 public:
  Flush() { _mm_setcsr(before_ | kResults | kOperands); }
  ~Flush() { _mm_setcsr(before_); }
#else
 public:
  Flush() {}
#endif
  Flush(const Flush&) = delete;
  Flush& operator=(const Flush&) = delete;
};

}  // namespace pyslsac
