// The first layer of a piece of rows that are alike, packed for the second.
#pragma once

#include "alike.h"
#include "four.h"

namespace pyslsac {

// A bit for each tile in which there are some of these rows.
template <typename A>
HOST_DEVICE uint32_t tiles_of(uint32_t rows) {
  if constexpr (A::kTile == 8) rows |= rows >> 4;
  rows |= rows >> 2, rows |= rows >> 1;
  if constexpr (A::kTile == 8) return (rows & 0x01010101) * 0x01020408 >> 24;
  rows &= 0x11111111, rows |= rows >> 3;
  rows &= 0x03030303, rows |= rows >> 6;
  return (rows | rows >> 12) & 0xff;
}
HOST_DEVICE uint32_t ones(uint32_t eight) {
  eight -= eight >> 1 & 0x55;
  eight = (eight & 0x33) + (eight >> 2 & 0x33);
  return (eight + (eight >> 4)) & 0xf;
}

// z of units j .. j + kUnits - 1 in kVectors vectors of rows, and the rows where it is positive.
template <typename S, int kUnits, int kVectors>
HOST_DEVICE void make_units(const Alike<S>& all, int64_t j, int64_t columns, const float* a, const float* weight,
                            const float* bias) {
  using V = typename Lanes<S>::V;
  using Bits = typename VectorOf<uint32_t, S::kBytes>::type;
  constexpr int kLanes = Lanes<S>::kVector, kRows = Alike<S>::kRows;
  V sum[kUnits][kVectors];
  UNROLL for (int u = 0; u < kUnits; ++u) UNROLL for (int v = 0; v < kVectors; ++v) sum[u][v] = V{} + all.base[j + u];
  for (int64_t c = 0; c < columns; ++c) UNROLL for (int v = 0; v < kVectors; ++v) {
      const V x = load<V>(a + c * kRows + v * kLanes);
      UNROLL for (int u = 0; u < kUnits; ++u) sum[u][v] += weight[c * all.depth + j + u] * x;
    }
  UNROLL for (int u = 0; u < kUnits; ++u) {
    Bits positive{};
    UNROLL for (int v = 0; v < kVectors; ++v) {
      Bits row;
      UNROLL for (int i = 0; i < kLanes; ++i) row[i] = 1u << (v * kLanes + i);
      sum[u][v] += bias[j + u];
      store(all.z + (j + u) * kRows + v * kLanes, sum[u][v]);
      positive |= ~reinterpret_cast<Bits>(sum[u][v] <= V{}) & row;
    }
    all.mask[j + u] = total(positive);
  }
}

// Which units to fold, and the tiles in which each enters.
template <typename S>
HOST_DEVICE void choose(const Alike<S>& all, const typename Alike<S>::Piece& p) {
  using A = Alike<S>;
  const uint32_t there = (1u << p.tiles()) - 1, price = p.folded ? p.folded / A::kTile : A::kTiles;
  const uint32_t* __restrict mask = all.mask;
  uint32_t* __restrict sign = all.sign;
  uint8_t* __restrict needed = all.needed;
  const int64_t depth = all.depth;
  for (int64_t j = 0; j < depth; ++j) {
    const uint32_t some = tiles_of<A>(mask[j]) & there, rest = tiles_of<A>(~mask[j]) & there;
    const uint32_t fold = (ones(rest) + price - ones(some)) >> 31;  // 1 where it saves some
    needed[j] = static_cast<uint8_t>(some ^ ((some ^ rest) & -fold)), sign[j] = fold << 31;
  }
  std::fill(needed + depth, needed + (depth + 63) / 64 * 64, 0);
}

// The values of the units that enter a tile; how many they are.
template <typename S>
HOST_DEVICE uint32_t pack_tile(const Alike<S>& all, int64_t tile, float* value, uint32_t* const place) {
  constexpr int kTile = Alike<S>::kTile;
  using Values = typename VectorOf<float, kTile * sizeof(float)>::type;
  using Bits = typename VectorOf<uint32_t, kTile * sizeof(float)>::type;
  uint32_t* at = place;
  for (int64_t from = 0; from < all.depth; from += 64) {
    uint64_t units = 0;
    for (int64_t k = 0; k < 64; k += 8) {
      uint64_t eight;
      memcpy(&eight, all.needed + from + k, sizeof eight);
      units |= ((eight >> tile & 0x0101010101010101) * 0x0102040810204080 >> 56) << k;
    }
    for (; units; units &= units - 1, value += kTile) {
      const int64_t j = from + __builtin_ctzll(units);
      const Bits z = load<Bits>(all.z + j * Alike<S>::kRows + tile * kTile) ^ all.sign[j];
      const Values x = reinterpret_cast<Values>(z);
      store(value, x < Values{} ? Values{} : x);
      *at++ = static_cast<uint32_t>(j * Lanes<S>::kPanel);
    }
  }
  return static_cast<uint32_t>(at - place);
}

// Piece k's first layer: weight [inputs, depth], bias [depth].
template <typename S>
HOST_DEVICE void first_layer(const Alike<S>& all, int64_t k, const float* weight, const float* bias) {
  using A = Alike<S>;
  typename A::Piece& p = all.piece[k];
  const int64_t columns = all.inputs - p.shared, depth = all.depth;
  std::fill(all.base, all.base + depth, 0.0f);
  for (int64_t c = 0; c < p.shared; ++c)
    for (int64_t j = 0; j < depth; ++j) all.base[j] += all.x[p.first * all.inputs + c] * weight[c * depth + j];
  weight += p.shared * depth;
  float* const a = all.own_of(k);
  for (int64_t i = 0; i < A::kRows; ++i)  // past the last row it is repeated
    for (int64_t c = 0; c < columns; ++c)
      a[c * A::kRows + i] = all.x[(p.first + std::min(i, p.rows - 1)) * all.inputs + p.shared + c];

  constexpr int kVectors = A::kRows / Lanes<S>::kVector;
  int64_t unit = 0;
  for (; p.rows <= A::kRows / 2 && unit + 2 <= depth; unit += 2)
    make_units<S, 2, kVectors / 2>(all, unit, columns, a, weight, bias);
  for (; unit + 2 <= depth; unit += 2) make_units<S, 2, kVectors>(all, unit, columns, a, weight, bias);
  for (; unit < depth; ++unit) make_units<S, 1, kVectors>(all, unit, columns, a, weight, bias);

  choose(all, p);
  for (int64_t t = 0; t < p.tiles(); ++t) p.count[t] = pack_tile(all, t, all.value_of(k, t), all.place_of(k, t));
  uint32_t count = 0, *const place = all.place_of(k, A::kTiles);
  for (int64_t j = 0; j < depth; ++j) place[count] = static_cast<uint32_t>(j), count += all.sign[j] >> 31;
  p.count[A::kTiles] = count;
  float* factor = all.factor_of(k);
  for (uint32_t i = 0; i < count; ++i, factor += p.folded) {
    const int64_t j = place[i];
    std::fill(factor, factor + p.folded, 0.0f);
    factor[0] = all.base[j] + bias[j];
    for (int64_t c = 0; c < columns; ++c) factor[1 + c] = weight[c * depth + j];
    place[i] = static_cast<uint32_t>(j * Lanes<S>::kPanel);
  }
}

}  // namespace pyslsac
