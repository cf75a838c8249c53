// Which features are above zero, a bit for each.
#pragma once

#include <algorithm>

#include "../implicit_quantiles.h"

namespace pyslsac {

// A bit for each of `count` features that is above 0, or no number.
template <typename T>
HOST_DEVICE void list_active(const T* __restrict features, int64_t count, uint32_t* __restrict to) {
  for (int64_t h = 0; h < count; h += 32, ++to) {
    uint32_t word = 0;
    for (int64_t j = 0, end = std::min<int64_t>(32, count - h); j < end; ++j)
      word |= static_cast<uint32_t>(is_active(features[h + j])) << j;
    *to = word;
  }
}

// x where the bit is set, else 0.
template <typename T>
HOST_DEVICE void spread_active(const uint32_t* __restrict bits, int64_t count, T x, T* __restrict to) {
  for (int64_t h = 0; h < count; h += 32, ++bits)
    for (int64_t j = 0, end = std::min<int64_t>(32, count - h); j < end; ++j) to[h + j] = *bits >> j & 1 ? x : T{};
}

}  // namespace pyslsac
