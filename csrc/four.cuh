// Four neighbours in device memory, of which low .. high - 1 exist: moved together when all do and they stand aligned.
#pragma once

#include "platform.h"

namespace pyslsac {

template <typename S>
struct alignas(4 * sizeof(S)) Four {
  S x[4];
};

template <typename S>
__device__ __forceinline__ bool together(const S* data, int low, int high) {
  return low == 0 && high == 4 && reinterpret_cast<uintptr_t>(data) % sizeof(Four<S>) == 0;
}

template <typename S>
__device__ __forceinline__ void load_four(const void* data, int64_t first, int low, int high, S x[4]) {
  const S* from = static_cast<const S*>(data) + first;
  if (together(from, low, high)) {
    const Four<S> four = *reinterpret_cast<const Four<S>*>(from);
    UNROLL for (int j = 0; j < 4; ++j) x[j] = four.x[j];
  } else {
    UNROLL for (int j = 0; j < 4; ++j) x[j] = j >= low && j < high ? from[j] : S{};
  }
}

template <typename S>
__device__ __forceinline__ void store_four(void* data, int64_t first, int low, int high, const S x[4]) {
  S* to = static_cast<S*>(data) + first;
  if (together(to, low, high)) {
    *reinterpret_cast<Four<S>*>(to) = {x[0], x[1], x[2], x[3]};
  } else {
    UNROLL for (int j = 0; j < 4; ++j) {
      if (j >= low && j < high) to[j] = x[j];
    }
  }
}

}  // namespace pyslsac
