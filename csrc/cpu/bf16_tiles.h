// Products of bfloat16 in matrix tiles: 32 rows by 32 columns at a time, summed in float32.
#pragma once

#include "../bfloat16.h"

namespace pyslsac {

// out [rows, 32] = left [rows, depth] times one packed panel, whose rows 2j and 2j + 1 lie interleaved. Of the rows as
// many as make whole thirty-twos, which it returns; depth is a multiple of 32. `Tiles` has eight registers, each 16
// rows of 64 bytes: 0-3 the sums, 4 and 5 of the left side, 6 and 7 of the panel.
template <typename Tiles>
int64_t tile_product(Tiles& tiles, const Bfloat16* left, int64_t stride, const Bfloat16* packed, int64_t depth,
                     float* out, int64_t out_stride, int64_t rows) {
  const int64_t whole = rows / 32 * 32, bytes = stride * sizeof(Bfloat16), out_bytes = out_stride * sizeof(float);
  for (int64_t first = 0; first < whole; first += 32) {
    const Bfloat16* row = left + first * stride;
    float* to = out + first * out_stride;
    tiles.template zero<0>(), tiles.template zero<1>(), tiles.template zero<2>(), tiles.template zero<3>();
    for (int64_t j = 0; j < depth; j += 32) {
      tiles.template load<4>(row + j, bytes), tiles.template load<5>(row + 16 * stride + j, bytes);
      tiles.template load<6>(packed + 32 * j, 128), tiles.template load<7>(packed + 32 * j + 32, 128);
      tiles.template add<0, 4, 6>(), tiles.template add<1, 4, 7>();
      tiles.template add<2, 5, 6>(), tiles.template add<3, 5, 7>();
    }
    tiles.template store<0>(to, out_bytes), tiles.template store<1>(to + 16, out_bytes);
    to += 16 * out_stride;
    tiles.template store<2>(to, out_bytes), tiles.template store<3>(to + 16, out_bytes);
  }
  return whole;
}

}  // namespace pyslsac
