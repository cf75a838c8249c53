// Products of bfloat16 in matrix tiles: 32 rows by 32 columns at a time, summed in float32.
#pragma once

#include "../bfloat16.h"

namespace pyslsac {

constexpr int64_t kTileSide = 32;  // rows, columns and depth that matrix tiles take at once

// A left factor [rows, depth]: rows `stride` apart, or in blocks of 32 rows by 32 of depth, which tiles read in order.
struct LeftFactor {
  const Bfloat16* data;
  int64_t stride, apart, step;  // of rows of 32 together, of these, and of 32 of depth

  HOST_DEVICE static LeftFactor in_rows(const Bfloat16* data, int64_t stride) {
    return {data, stride, stride, kTileSide};
  }
  HOST_DEVICE static LeftFactor in_blocks(const Bfloat16* data, int64_t depth) {
    return {data, kTileSide, depth, kTileSide * kTileSide};
  }
  HOST_DEVICE const Bfloat16* row(int64_t i) const {
    return data + i / kTileSide * kTileSide * apart + i % kTileSide * stride;
  }
};

// Where entry (i, j) of a factor in blocks lies; 32 - j % 32 entries of its row follow one another.
HOST_DEVICE int64_t in_block(int64_t i, int64_t j, int64_t depth) {
  return i / kTileSide * kTileSide * depth + j / kTileSide * kTileSide * kTileSide + i % kTileSide * kTileSide +
         j % kTileSide;
}

// out [rows, 32] = left [rows, depth] times one packed panel, whose rows 2j and 2j + 1 lie interleaved. Of the rows as
// many as make whole thirty-twos, which it returns; depth is a multiple of 32. `Tiles` has eight registers, each 16
// rows of 64 bytes: 0-3 the sums, 4 and 5 of the left side, 6 and 7 of the panel.
template <typename Tiles>
int64_t tile_product(Tiles& tiles, const LeftFactor& left, const Bfloat16* packed, int64_t depth, float* out,
                     int64_t out_stride, int64_t rows) {
  const int64_t whole = rows / 32 * 32, bytes = left.stride * sizeof(Bfloat16), out_bytes = out_stride * sizeof(float);
  for (int64_t first = 0; first < whole; first += 32) {
    const Bfloat16* row = left.row(first);
    float* to = out + first * out_stride;
    tiles.template zero<0>(), tiles.template zero<1>(), tiles.template zero<2>(), tiles.template zero<3>();
    for (int64_t j = 0; j < depth; j += 32, row += left.step) {
      tiles.template load<4>(row, bytes), tiles.template load<5>(row + 16 * left.stride, bytes);
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
