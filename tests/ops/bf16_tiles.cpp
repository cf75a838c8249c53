// tile_product over registers in memory that do what the processor's are documented to do, and over the real ones; and
// the product without tiles: by the instruction or, with PYSLSAC_ONE_CLONE, by neither.
#include "../../csrc/cpu/bf16_product.h"

namespace pyslsac {

struct MemoryTiles {
  unsigned char tile[8][16][64];
  MemoryTiles() { memset(tile, 0xFF, sizeof tile); }  // NaN until something is loaded

  template <int t>
  void zero() {
    memset(tile[t], 0, sizeof tile[t]);
  }
  template <int t>
  void load(const void* from, int64_t stride) {
    for (int i = 0; i < 16; ++i) memcpy(tile[t][i], static_cast<const unsigned char*>(from) + i * stride, 64);
  }
  template <int t>
  void store(void* to, int64_t stride) {
    for (int i = 0; i < 16; ++i) memcpy(static_cast<unsigned char*>(to) + i * stride, tile[t][i], 64);
  }
  // sum[m][n] += x[m][2k] y[k][2n] + x[m][2k + 1] y[k][2n + 1]: TDPBF16PS.
  template <int sum, int x, int y>
  void add() {
    for (int m = 0; m < 16; ++m)
      for (int n = 0; n < 16; ++n) {
        float total;
        memcpy(&total, &tile[sum][m][4 * n], 4);
        for (int k = 0; k < 32; ++k) total += half(tile[x][m], k) * half(tile[y][k / 2], 2 * n + k % 2);
        memcpy(&tile[sum][m][4 * n], &total, 4);
      }
  }
  static float half(const unsigned char* row, int i) {
    Bfloat16 value;
    memcpy(&value, row + 2 * i, 2);
    return widen(value);
  }
};

LeftFactor factor(const uint16_t* left, int64_t stride, bool blocks) {
  const Bfloat16* const data = reinterpret_cast<const Bfloat16*>(left);
  return blocks ? LeftFactor::in_blocks(data, stride) : LeftFactor::in_rows(data, stride);
}

template <typename Tiles>
int64_t product_in(Tiles&& tiles, const uint16_t* left, int64_t stride, bool blocks, const uint16_t* packed,
                   int64_t depth, float* out, int64_t out_stride, int64_t rows) {
  const Bfloat16* const panel = reinterpret_cast<const Bfloat16*>(packed);
  return tile_product(tiles, factor(left, stride, blocks), panel, depth, out, out_stride, rows);
}

extern "C" int64_t product(const uint16_t* left, int64_t stride, bool blocks, const uint16_t* packed, int64_t depth,
                           float* out, int64_t out_stride, int64_t rows) {
  return product_in(MemoryTiles{}, left, stride, blocks, packed, depth, out, out_stride, rows);
}

extern "C" int64_t product_without(const uint16_t* left, int64_t stride, bool blocks, const uint16_t* packed,
                                   int64_t depth, float* out, int64_t out_stride, int64_t rows) {
  Bf16Unit unit;
#ifdef MATRIX_TILES
  unit.tiles.reset();
#endif
  const Bfloat16* const panel = reinterpret_cast<const Bfloat16*>(packed);
  bf16_product(unit, factor(left, stride, blocks), panel, depth, out, out_stride, rows);
  return rows;
}

extern "C" int64_t place(int64_t i, int64_t j, int64_t depth) { return in_block(i, j, depth); }

#ifdef MATRIX_TILES
extern "C" int available() { return AmxTiles::available(); }
extern "C" int64_t processor_product(const uint16_t* left, int64_t stride, bool blocks, const uint16_t* packed,
                                     int64_t depth, float* out, int64_t out_stride, int64_t rows) {
  return product_in(AmxTiles{}, left, stride, blocks, packed, depth, out, out_stride, rows);
}
#endif

}  // namespace pyslsac
