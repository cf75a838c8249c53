// bfloat16 as storage: the upper half of a float32, widened exactly and narrowed to nearest even, on host and device.
#pragma once

#include <cstdint>

#include "platform.h"

namespace pyslsac {

struct Bfloat16 {
  uint16_t bits;
};

HOST_DEVICE float widen(float x) { return x; }
HOST_DEVICE double widen(double x) { return x; }
HOST_DEVICE float widen(Bfloat16 x) {
  union {
    uint32_t bits;
    float real;
  } wide{static_cast<uint32_t>(x.bits) << 16};
  return wide.real;
}

// The type that T is computed in.
template <typename T>
using Wide = decltype(widen(T{}));

template <typename T>
HOST_DEVICE T narrow(Wide<T> x) {
  return x;
}
template <>
HOST_DEVICE Bfloat16 narrow<Bfloat16>(float x) {
  union {
    float real;
    uint32_t bits;
  } wide{x};
  const uint32_t rounded = wide.bits + 0x7FFF + ((wide.bits >> 16) & 1);
  return {static_cast<uint16_t>(x == x ? rounded >> 16 : 0x7FC0)};
}

}  // namespace pyslsac
