// reverse_chain: the reverse chain of a diffusion policy. For k = K - 1 .. 0, from x = z_0,
//   x <- x + gain_k score([obs, tanh x, table_k]) + spread_k z_k [k > 0],  action tanh x.
#pragma once

#include <algorithm>

#include "perceptron.h"

namespace pyslsac {

struct ReverseChain {
  Perceptron score;                    // of level 0; what it keeps, enters and makes at level k lies k strides further
  int64_t levels;                      // K
  int64_t states, actions, embedding;  // S, A, E: score.layer[0].inputs is their sum
  bool keep;                           // every level's; else all use the same room
  const float *obs, *noise, *table;    // [R, B, S], [R, K, B, A], [R, K, E]
  const double *gain, *spread;         // [K] each, on the host
  float* inputs;                       // [K or 1, R, B, S + A + E]
  float* x;                            // [R, B, A]; backward: the gradient by it
  float* path;                         // [K, R, B, A], the actions after each level's move
  const float* grad;                   // [R, B, A], by path[0]
  float* score_grad;                   // [K, R, B, A], by the score
  float* table_grad;                   // [R, K, E]

  HOST_DEVICE int64_t rows() const { return score.networks * score.batch; }
  HOST_DEVICE int64_t width() const { return states + actions + embedding; }
  HOST_DEVICE int64_t slab(int64_t k) const { return keep ? k * rows() : 0; }  // level k's first row
};

// The score of level k.
HOST_DEVICE Perceptron score_at(const ReverseChain& a, int64_t k) {
  Perceptron p = a.score;
  const int64_t rows = a.slab(k);
  p.x = a.inputs + rows * a.width();
  p.add = k > 0;
  for (int l = 0; l < p.layers; ++l) {
    PerceptronLayer& layer = p.layer[l];
    for (float** kept : {&layer.out, &layer.slope, &layer.grad})
      if (*kept) *kept += rows * layer.outputs;
  }
  if (a.score_grad) p.y_grad = a.score_grad + rows * a.actions;
  if (p.x_grad) p.x_grad += rows * p.x_columns;
  return p;
}

namespace cpu {
// Of R blocks(args.score) units: the chain of some rows, and the way back to the gradients by the scores' products.
void reverse_chain(const ReverseChain& args, int64_t begin, int64_t end);
void reverse_chain_backward(const ReverseChain& args, int64_t begin, int64_t end);
// Of R perceptron_columns(args.score) units: the weights' gradients, summed over the levels; of R K units: the table's.
void reverse_chain_weights(const ReverseChain& args, int64_t begin, int64_t end);
void reverse_chain_table(const ReverseChain& args, int64_t begin, int64_t end);
}  // namespace cpu

namespace cuda {
struct ReverseChainCall {
  ReverseChain args;
  float* scratch;  // reverse_chain_scratch(args) numbers
  const std::function<void(const Product&)>& multiply;
};

int64_t reverse_chain_scratch(const ReverseChain& args);
void reverse_chain(const ReverseChainCall& call, void* stream);
void reverse_chain_backward(const ReverseChainCall& call, void* stream);  // all gradients
}  // namespace cuda

}  // namespace pyslsac
