// What implicit_quantiles keeps of some states on the CPU while it multiplies them in bfloat16.
#pragma once

#include <algorithm>

#include "../implicit_quantiles.h"
#include "bf16_factors.h"
#include "scratch.h"

namespace pyslsac {

// The fractions of a state are `lanes` columns, N rounded up to half a tile, and those of all states at hand lie side
// by side. What is made of them has a row for every unit of its layer, so that products lead from layer to layer
// without swapping axes. A left factor is [rows, depth]; a right one lies in panels of 32 columns, [depth / 2, 32] of
// pairs. All axes are whole tiles, padded with zeros.
struct DenseRoom {
  static constexpr int64_t kColumns = 256, kHalf = kTileSide / 2, kMostLanes = 16;

  int64_t lanes, states, columns;  // of a state; at a time, and all their columns, to whole tiles
  int64_t places;                  // for states in the columns; one that is cut short is empty
  int64_t inputs, width, outputs;  // C, K and H as whole tiles
  Bfloat16 *phi_weight, *weight;   // left, by units: W1 [K, C], and W2 [H, K] forward, [K, H] backward
  uint32_t *cosines, *bits;        // right, [C, columns]; [H / 32, columns], of the active features
  float *tau, *psi;                // [columns], where there is no fraction 0; [places, K]
  float *phi_bias, *sum;           // [K]; of a product, [kSumRows, 32]
  uint32_t *pairs;                 // of a factor before its axes are swapped
  // Forward
  uint32_t *joint;             // right, [K, columns]
  float *bias, *head, *value;  // [H] twice, [columns]
  // Backward
  uint32_t *spread, *spread_columns,
      *cosine_columns;               // right, of what is active [H, columns], [columns, H]; [columns, C]
  Bfloat16 *joint_grad, *phi_grad;   // left, [K, columns]
  float *phi, *psi_grad, *grad;      // [K, columns], [places, K], [columns]
  float *phi_bias_grad, *bias_grad;  // [K, lanes of a vector], [H]

  HOST_DEVICE DenseRoom(const ImplicitQuantiles<float> &a, bool backward)
      : lanes((a.fractions + kHalf - 1) / kHalf * kHalf),
        states(std::max<int64_t>(1, kColumns / std::max(kHalf, lanes))),
        columns(whole_tiles(states * lanes)),
        places(lanes ? (columns + lanes - 1) / lanes : states),
        inputs(whole_tiles(a.inputs)),
        width(whole_tiles(a.width)),
        outputs(whole_tiles(a.outputs)) {
    carve(scratch(carve(nullptr, backward)), backward);
  }

 private:
  // Places everything from `memory` on; how many numbers that takes.
  HOST_DEVICE int64_t carve(float *memory, bool backward) {
    Places all{memory};
    const auto take = [&](auto *&place, int64_t count) { all.take(place, count); };
    take(phi_weight, width * inputs), take(weight, outputs * width), take(cosines, inputs * columns / 2);
    take(bits, outputs / 32 * columns), take(tau, columns), take(psi, places * width), take(phi_bias, width);
    take(sum, kSumRows * kTileSide);
    take(pairs, std::max(inputs * width, width * outputs) / 2);
    if (backward) {
      take(spread, outputs * columns / 2), take(spread_columns, columns * outputs / 2);
      take(cosine_columns, columns * inputs / 2), take(joint_grad, width * columns), take(phi_grad, width * columns);
      take(phi, width * columns), take(psi_grad, places * width), take(grad, columns);
      take(phi_bias_grad, width * kMostLanes), take(bias_grad, outputs);
    } else {
      take(joint, width * columns / 2), take(bias, outputs), take(head, outputs), take(value, columns);
    }
    return all.used;
  }
};

}  // namespace pyslsac
