// The passes between the scores of a chain: x from level to level; the gradients by x on the way back, by the table,
// and by the weights, summed over the levels.
#include "../launch.cuh"
#include "../reverse_chain.h"

namespace pyslsac::cuda {

namespace {

constexpr int kSumWarps = 16, kChainThreads = 32 * kSumWarps;

unsigned blocks_of(int64_t elements) { return static_cast<unsigned>((elements + kChainThreads - 1) / kChainThreads); }

// Of a move: its score, and the inputs of the level below; null: there is none. level: that of the move; K: the start.
struct Move {
  const float* y;
  float* inputs;
  int64_t level;
  float gain, spread;
};

// x and its action after a move, and what enters the level below: a number of it a thread, or an action.
__global__ void __launch_bounds__(kChainThreads) advance(ReverseChain a, Move move) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kChainThreads + threadIdx.x;
  const int64_t width = move.inputs ? a.width() : a.actions, row = i / width, batch = a.score.batch;
  if (row >= a.rows()) return;
  const int64_t g = row / batch, column = i % width, c = move.inputs ? column - a.states : column;
  float value;
  if (c < 0) {
    value = a.obs[row * a.states + column];
  } else if (c >= a.actions) {
    value = a.table[(g * a.levels + move.level - 1) * a.embedding + c - a.actions];
  } else {
    const int64_t at = row * a.actions + c, k = move.level % a.levels;
    const float z = a.noise[((g * a.levels + k) * batch + row % batch) * a.actions + c];
    const float x = move.y ? fma_rn(move.spread, z, fma_rn(move.gain, move.y[at], a.x[at])) : z;
    a.x[at] = x, value = activated<Activation::tanh>(x).value;
    if (move.y) a.path[k * a.rows() * a.actions + at] = value;
  }
  if (move.inputs) move.inputs[i] = value;
}

// The gradient by x after a level's move, to which the level below adds, and by the level's score; an action a thread.
__global__ void __launch_bounds__(kChainThreads) retreat(ReverseChain a, int64_t k, float gain) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kChainThreads + threadIdx.x, size = a.rows() * a.actions;
  if (i >= size) return;
  const int64_t row = i / a.actions, below = (k - 1) * a.rows() + row;
  const float by_action = k ? a.score.x_grad[below * a.score.x_columns + i % a.actions] : a.grad[i];
  const float action = a.path[k * size + i], by_x = by_action * (1.0f - action * action);
  const float x = k ? a.x[i] + by_x : by_x;
  a.x[i] = x, a.score_grad[k * size + i] = gain * x;
}

// The weights' gradients from one level's, which lie layer after layer; a number a thread.
__global__ void __launch_bounds__(kChainThreads) add_level(Perceptron to, const float* level, int64_t size) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kChainThreads + threadIdx.x;
  if (i >= size) return;
  int64_t at = i;
  for (int l = 0; l < to.layers; ++l) {
    const PerceptronLayer& layer = to.layer[l];
    const int64_t biases = to.networks * layer.outputs, weights = biases * layer.inputs;
    if (at < weights + biases) {
      (at < weights ? layer.weight_grad[at] : layer.bias_grad[at - weights]) += level[i];
      return;
    }
    at -= weights + biases;
  }
}

int64_t embedding_blocks(const ReverseChain& a) { return (a.embedding + 31) / 32; }

// 32 columns of a row of the table a block; each warp takes its share of the batch, and the warps' sums are added in
// their order.
__global__ void __launch_bounds__(kChainThreads) sum_rows(ReverseChain a, int64_t blocks) {
  __shared__ float part[kSumWarps][32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t unit = blockIdx.x / blocks, g = unit / a.levels, k = unit % a.levels, batch = a.score.batch;
  const int64_t c = blockIdx.x % blocks * 32 + lane, width = a.score.x_columns;
  const float* const from = a.score.x_grad + (k * a.rows() + g * batch) * width + a.actions + c;
  float sum = 0;
#pragma unroll 4
  for (int64_t b = warp; c < a.embedding && b < batch; b += kSumWarps) sum += from[b * width];
  part[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || c >= a.embedding) return;
  for (int w = 1; w < kSumWarps; ++w) sum += part[w][lane];
  a.table_grad[unit * a.embedding + c] = sum;
}

// The numbers of one level's weights and biases.
int64_t weight_numbers(const Perceptron& p) {
  int64_t numbers = 0;
  for (int l = 0; l < p.layers; ++l) numbers += p.networks * (p.layer[l].inputs + 1) * p.layer[l].outputs;
  return numbers;
}

// The score of a level whose weights' gradients go to `to`, layer after layer.
Perceptron placed(Perceptron p, float* to) {
  for (int l = 0; l < p.layers; ++l) {
    PerceptronLayer& layer = p.layer[l];
    layer.weight_grad = to, to += p.networks * layer.inputs * layer.outputs;
    layer.bias_grad = to, to += p.networks * layer.outputs;
  }
  return p;
}

}  // namespace

int64_t reverse_chain_scratch(const ReverseChain& args) {
  const bool summed = args.score.layer[0].weight_grad && args.levels > 1;
  return perceptron_scratch(args.score) + (summed ? weight_numbers(args.score) : 0);
}

void reverse_chain(const ReverseChainCall& call, void* stream) {
  const ReverseChain& a = call.args;
  Move move{nullptr, nullptr, a.levels, 0.0f, 0.0f};
  for (int64_t k = a.levels; k >= 0; --k) {  // the move of level k, then the score of the level below
    const Perceptron below = score_at(a, k ? k - 1 : 0);
    move.inputs = k ? a.inputs + a.slab(k - 1) * a.width() : nullptr, move.level = k;
    launch_kernel(advance, blocks_of(a.rows() * (k ? a.width() : a.actions)), kChainThreads, 0, stream, a, move);
    if (k == 0) return;
    perceptron({below, call.scratch, call.multiply}, stream);
    move.y = below.layer[below.layers - 1].out, move.gain = static_cast<float>(a.gain[k - 1]);
    move.spread = k > 1 ? static_cast<float>(a.spread[k - 1]) : 0.0f;
  }
}

void reverse_chain_backward(const ReverseChainCall& call, void* stream) {
  const ReverseChain& a = call.args;
  float* const level = call.scratch + perceptron_scratch(a.score);
  const int64_t numbers = weight_numbers(a.score);
  for (int64_t k = 0; k < a.levels; ++k) {
    const Perceptron p = score_at(a, k);
    launch_kernel(retreat, blocks_of(a.rows() * a.actions), kChainThreads, 0, stream, a, k,
                  static_cast<float>(a.gain[k]));
    perceptron_backward({k ? placed(p, level) : p, call.scratch, call.multiply}, stream);
    if (k) launch_kernel(add_level, blocks_of(numbers), kChainThreads, 0, stream, a.score, level, numbers);
  }
  const int64_t each = embedding_blocks(a), units = a.score.networks * a.levels * each;
  launch_kernel(sum_rows, static_cast<unsigned>(units), kChainThreads, 0, stream, a, each);
}

}  // namespace pyslsac::cuda
