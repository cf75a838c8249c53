// The second layer of rows that are alike, after the first.
#pragma once

#include "alike_first.h"
#include "panel.h"
#include "sinks.h"

namespace pyslsac {

// sink(i, c, sum_j left[i][j] panel[j][c]) for all rows i and the first kVectors vectors of a panel's columns.
template <typename S, int kVectors, typename Sink>
HOST_DEVICE void panel_tiles(const Alike<S>& left, int64_t, int64_t, const float* panel, const Sink& sink, int64_t) {
  using A = Alike<S>;
  using V = typename Lanes<S>::V;
  constexpr int kTile = A::kTile;
  for (int64_t k = 0; k < left.pieces; ++k) {
    const typename A::Piece& p = left.piece[k];
    const uint32_t folds = p.count[A::kTiles];
    V folded[A::kFolded][kVectors] = {};
    for (int64_t f = 0; folds && f < p.folded; f += kTile) {
      V sum[kTile][kVectors] = {};
      add_columns(sum, left.factor_of(k) + f, p.folded, left.place_of(k, A::kTiles), folds, panel);
      UNROLL for (int i = 0; i < kTile; ++i) UNROLL for (int c = 0; c < kVectors; ++c) folded[f + i][c] = sum[i][c];
    }
    for (int64_t t = 0; t < p.tiles(); ++t) {
      V sum[kTile][kVectors];
      UNROLL for (int i = 0; i < kTile; ++i) UNROLL for (int c = 0; c < kVectors; ++c) sum[i][c] = folded[0][c];
      const float* a = left.own_of(k) + t * kTile;
      for (int64_t d = 1; folds && d <= left.inputs - p.shared; ++d, a += A::kRows)
        UNROLL for (int i = 0; i < kTile; ++i) UNROLL for (int c = 0; c < kVectors; ++c) sum[i][c] +=
            a[i] * folded[d][c];
      add_columns(sum, left.value_of(k, t), kTile, left.place_of(k, t), p.count[t], panel);
      UNROLL for (int i = 0; i < kTile; ++i) if (t * kTile + i < p.rows) UNROLL for (int c = 0; c < kVectors; ++c)
          sink(p.first + t * kTile + i, c * Lanes<S>::kVector, sum[i][c]);
    }
  }
}

// Whether rows that are alike may go through the first two layers at once: many, and no way back needs the first.
HOST_DEVICE bool may_join(const Perceptron& a) {
  const PerceptronLayer& first = a.layer[0];
  return a.batch >= cpu::kPerceptronMany && a.layers > 1 && first.kind == Layer::relu && !first.out &&
         a.layer[1].outputs > 1;
}

// out [rows, outputs of layer 1] <- the product of layer 1, and what follows it of bias and ReLU, for rows of network
// g, the first of them `start`; or false, if they are not alike.
template <typename S>
HOST_DEVICE bool join(const Perceptron& a, int64_t g, int64_t start, int64_t rows, float* out, float* panel,
                      float* memory) {
  const PerceptronLayer &first = a.layer[0], &second = a.layer[1];
  const int64_t inputs = first.inputs, depth = first.outputs, width = second.outputs;
  Alike<S> left{a.x + (g / a.shared * a.batch + start) * inputs, rows, inputs, depth, memory};
  if (!left.find()) return false;
  for (int64_t k = 0; k < left.pieces; ++k)
    first_layer(left, k, first.weight + g * inputs * depth, first.bias + g * depth);
  const float* const bias = second.kind > Layer::relu ? nullptr : second.bias + g * width;
  const Enter sink{out, width, bias, second.kind == Layer::relu};
  by_panels<S>(left, 1, depth, second.weight + g * depth * width, width, panel, sink, rows, width);
  return true;
}

}  // namespace pyslsac
