// Rows that differ in few of their columns, as actions of one state do, and room for their first two layers.
#pragma once

#include "../perceptron.h"
#include "scratch.h"
#include "simd.h"

namespace pyslsac {

// Stripes of up to kRows rows are cut into pieces whose rows share all columns but the last ones, a. What a ReLU makes
// of their first layer, z = base + a W + b, enters the second one's product unit by unit: relu(z), in those tiles of
// rows where it isn't 0. Where a unit is positive in most tiles it is folded, by relu(z) = z + relu(-z): z enters once
// a piece, as base + b and W, and relu(-z) in those tiles where it isn't 0. A stripe of other rows is one piece that
// shares nothing and folds nothing. NaN counts as positive. Sums without a folded unit have the bits of any other
// rows'.
template <typename S>
struct Alike {
  static constexpr int kRows = cpu::kPerceptronStripe, kTile = S::kBytes == 64 ? 8 : 4, kTiles = kRows / kTile;
  static constexpr int kPieces = 3, kFolded = 16;  // of a stripe; 1 + columns of a, at most

  struct Piece {
    int64_t first, rows, shared, folded;  // the last: 1 + columns of a, to whole tiles; 0: nothing is folded
    uint32_t count[kTiles + 1];           // units in each tile, and folded ones
    HOST_DEVICE int64_t tiles() const { return (rows + kTile - 1) / kTile; }
  };
  const float* x;  // [rows, inputs]
  int64_t rows, inputs, depth, pieces = 0, used = 0;
  Piece* piece;
  float *own, *value, *factor;  // a piece: [inputs, kRows], a; [kTiles, depth, kTile]; [depth, folded]
  uint32_t* place;              // a piece: [kTiles + 1, depth], where a unit's row of the panel starts
  float *z, *base;              // [depth, kRows], [depth], of the piece at hand
  uint32_t *mask, *sign;        // [depth], the rows where z is positive, and the sign bit where it is folded
  uint8_t* needed;              // [depth, to 64], the tiles where a unit enters

  HOST_DEVICE Alike(const float* x, int64_t rows, int64_t inputs, int64_t depth, float* memory)
      : x(x), rows(rows), inputs(inputs), depth(depth) {
    Places places{memory};
    const auto take = [&](auto*& place, int64_t count) { places.take(place, count); };
    const int64_t most = (rows + kRows - 1) / kRows * kPieces;
    take(z, depth * kRows), take(base, depth), take(mask, depth), take(sign, depth), take(needed, depth + 63);
    take(piece, most), take(own, most * inputs * kRows), take(value, most * depth * kRows);
    take(factor, most * depth * kFolded), take(place, most * depth * (kTiles + 1));
    used = places.used;
  }

  HOST_DEVICE float* own_of(int64_t k) const { return own + k * inputs * kRows; }
  HOST_DEVICE float* value_of(int64_t k, int64_t tile) const { return value + (k * kTiles + tile) * depth * kTile; }
  HOST_DEVICE float* factor_of(int64_t k) const { return factor + k * depth * kFolded; }
  HOST_DEVICE uint32_t* place_of(int64_t k, int64_t tile) const { return place + (k * (kTiles + 1) + tile) * depth; }

  // Cuts all rows into pieces. Is any stripe alike? To ask for more would let a row's bits depend on its block.
  HOST_DEVICE bool find() {
    bool alike = false;
    for (int64_t start = 0; start < rows; start += kRows) {
      const int64_t end = std::min(start + kRows, rows), shared = shares(start, end), count = cut(start, end, shared);
      Piece& whole = piece[pieces];
      if (!count) whole.first = start, whole.rows = end - start, whole.shared = whole.folded = 0;
      alike |= count > 0, pieces += std::max<int64_t>(count, 1);
    }
    return alike;
  }

 private:
  // How many columns, the first, two rows of a stripe share: the middle one of its first three pairs.
  HOST_DEVICE int64_t shares(int64_t start, int64_t end) const {
    if (end - start < 4) return 0;
    int64_t count[3] = {};
    for (int64_t i = 0; i < 3; ++i) {
      const float *one = x + (start + i) * inputs, *next = one + inputs;
      while (count[i] < inputs && one[count[i]] == next[count[i]]) ++count[i];
    }
    return std::max(std::min(count[0], count[1]), std::min(std::max(count[0], count[1]), count[2]));
  }

  // The pieces of a stripe, or 0 where they would be too many, or their tiles, or anything in a is not finite.
  HOST_DEVICE int64_t cut(int64_t start, int64_t end, int64_t shared) {
    int64_t count = 0, tiles = 0, first = start;
    if (!shared || inputs - shared >= kFolded) return 0;
    for (int64_t i = start; i < end; ++i) {
      const float* const row = x + i * inputs;
      for (int64_t c = shared; c < inputs; ++c)
        if (!(row[c] - row[c] == 0)) return 0;
      if (i + 1 < end && !memcmp(row, row + inputs, shared * sizeof(float))) continue;
      if (count == kPieces) return 0;
      Piece& p = piece[pieces + count++];
      p.first = first, p.rows = i + 1 - first, p.shared = shared;
      p.folded = (inputs - shared) / kTile * kTile + kTile;
      tiles += p.tiles(), first = i + 1;
    }
    return tiles <= kTiles + 1 ? count : 0;
  }
};

}  // namespace pyslsac
