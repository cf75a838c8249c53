#include "../reverse_chain.h"

#include "simd.h"

namespace pyslsac::cpu {

namespace {

struct Part {  // some rows of a run, the first of them the `start`-th of its own and the `first`-th of all R B
  int64_t run, start, first, count;
};
Part part_of(const ReverseChain& a, int64_t unit) {
  const Perceptron& p = a.score;
  const int64_t run = unit / blocks(p), start = unit % blocks(p) * p.block;
  return {run, start, run * p.batch + start, std::min(p.block, p.batch - start)};
}

// x <- x + gain y + spread z, and its tanh.
HOST_DEVICE void moved(float* x, float gain, const float* y, float spread, const float* z, float* action,
                       int64_t count) {
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    x[i] = fma_rn(spread, z[i], fma_rn(gain, y[i], x[i]));
    action[i] = activated<Activation::tanh>(x[i]).value;
  }
}
#define MOVED(target, S, ...)                                                                                      \
  target void move(float* x, float gain, const float* y, float spread, const float* z, float* to, int64_t count) { \
    moved(x, gain, y, spread, z, to, count);                                                                       \
  }
SIMD_LEVELS(MOVED, )

}  // namespace

void reverse_chain(const ReverseChain& a, int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit) {
    const Part r = part_of(a, unit);
    const int64_t size = r.count * a.actions, first = r.first * a.actions;
    const auto noise = [&](int64_t k) {
      return a.noise + ((r.run * a.levels + k) * a.score.batch + r.start) * a.actions;
    };
    float *const x = a.x + first, *action = a.path + first;  // before the last move others lie where it will
    std::fill(x, x + size, 0.0f);
    move(x, 1.0f, noise(0), 0.0f, noise(0), action, size);
    for (int64_t k = a.levels; k-- > 0;) {
      float* to = a.inputs + (a.slab(k) + r.first) * a.width();
      for (int64_t i = 0; i < r.count; ++i) {
        to = std::copy_n(a.obs + (r.first + i) * a.states, a.states, to);
        to = std::copy_n(action + i * a.actions, a.actions, to);
        to = std::copy_n(a.table + (r.run * a.levels + k) * a.embedding, a.embedding, to);
      }
      const Perceptron p = score_at(a, k);
      perceptron(p, unit, unit + 1);
      action = a.path + k * a.rows() * a.actions + first;
      const float gain = static_cast<float>(a.gain[k]), spread = k ? static_cast<float>(a.spread[k]) : 0.0f;
      move(x, gain, p.layer[p.layers - 1].out + first, spread, noise(k), action, size);
    }
  }
}

void reverse_chain_backward(const ReverseChain& a, int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit) {
    const Part r = part_of(a, unit);
    const int64_t columns = a.score.x_columns;
    for (int64_t k = 0; k < a.levels; ++k) {
      const int64_t first = (k * a.rows() + r.first) * a.actions;
      // By the action after level k's move, on which level k - 1's score depends.
      const float* by_action = k ? score_at(a, k - 1).x_grad + r.first * columns : a.grad + r.first * a.actions;
      float* x = a.x + r.first * a.actions;
      const float* action = a.path + first;
      float* score_grad = a.score_grad + first;
      for (int64_t i = 0; i < r.count; ++i, by_action += k ? columns : a.actions)
        for (int64_t c = 0; c < a.actions; ++c, ++x, ++action, ++score_grad) {
          *x = (k ? *x : 0.0f) + by_action[c] * (1.0f - *action * *action);
          *score_grad = static_cast<float>(a.gain[k]) * *x;
        }
      perceptron_backward(score_at(a, k), unit, unit + 1);
    }
  }
}

void reverse_chain_weights(const ReverseChain& a, int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit)
    for (int64_t k = 0; k < a.levels; ++k) perceptron_weights(score_at(a, k), unit, unit + 1);
}

void reverse_chain_table(const ReverseChain& a, int64_t begin, int64_t end) {
  const int64_t batch = a.score.batch, width = a.score.x_columns;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t run = unit / a.levels, k = unit % a.levels;
    float* const to = a.table_grad + unit * a.embedding;
    const float* from = score_at(a, k).x_grad + run * batch * width + a.actions;
    std::fill(to, to + a.embedding, 0.0f);
    for (int64_t b = 0; b < batch; ++b, from += width)
      for (int64_t c = 0; c < a.embedding; ++c) to[c] += from[c];
  }
}

}  // namespace pyslsac::cpu
