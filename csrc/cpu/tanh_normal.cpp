#include "../tanh_normal.h"

#include <algorithm>
#include <vector>

namespace pyslsac {

namespace {

constexpr int64_t kChunk = 256;  // actions side by side, in whole rows

// Means and log stds of some rows' actions, one after another, and room for what is made of them.
template <typename T>
struct Chunk {
  explicit Chunk(const TanhNormal<T>& args)
      : actions(args.actions), rows(std::max<int64_t>(1, kChunk / args.actions)), memory(4 * rows * args.actions) {}

  HOST_DEVICE int64_t take(const TanhNormal<T>& args, int64_t first, int64_t end) {
    const int64_t count = std::min(rows, end - first);
    for (int64_t row = 0; row < count; ++row)
      for (int64_t i = 0; i < actions; ++i) {
        const T* params = args.params + 2 * (first + row) * actions + i;
        at(0)[row * actions + i] = params[0], at(1)[row * actions + i] = params[actions];
      }
    return count;
  }
  HOST_DEVICE T* at(int64_t part) { return memory.data() + part * rows * actions; }

  const int64_t actions, rows;
  std::vector<T> memory;
};

template <typename T>
HOST_DEVICE void forward(const TanhNormal<T>& args, int64_t begin, int64_t end) {
  Chunk<T> chunk(args);
  const int64_t actions = args.actions;
  const T *mean = chunk.at(0), *log_std = chunk.at(1);
  T* share = chunk.at(2);
  for (int64_t first = begin, count; first < end; first += count) {
    count = chunk.take(args, first, end);
    const T* noise = args.noise + first * actions;
    T* action = args.action + first * actions;
#pragma GCC ivdep
    for (int64_t i = 0; i < count * actions; ++i) squash(mean[i], log_std[i], noise[i], &action[i], &share[i]);
    for (int64_t row = 0; row < count; ++row) {
      T total = 0;
      for (int64_t i = 0; i < actions; ++i) total += share[row * actions + i];
      args.log_prob[first + row] = total;
    }
  }
}

template <typename T>
HOST_DEVICE void backward(const TanhNormal<T>& args, int64_t begin, int64_t end) {
  Chunk<T> chunk(args);
  const int64_t actions = args.actions;
  const T* log_std = chunk.at(1);
  T *mean_grad = chunk.at(0), *density = chunk.at(2), *log_std_grad = chunk.at(3);
  for (int64_t first = begin, count; first < end; first += count) {
    count = chunk.take(args, first, end);
    const T *noise = args.noise + first * actions, *action = args.action + first * actions;
    const T* action_grad = args.action_grad + first * actions;
    for (int64_t row = 0; row < count; ++row)
      std::fill_n(density + row * actions, actions, args.log_prob_grad[first + row]);
#pragma GCC ivdep
    for (int64_t i = 0; i < count * actions; ++i)
      squash_back(log_std[i], noise[i], action[i], action_grad[i], density[i], &mean_grad[i], &log_std_grad[i]);
    for (int64_t row = 0; row < count; ++row) {
      T* grad = args.params_grad + 2 * (first + row) * actions;
      std::copy_n(mean_grad + row * actions, actions, grad);
      std::copy_n(log_std_grad + row * actions, actions, grad + actions);
    }
  }
}

SIMD_CLONES void forward_float(const TanhNormal<float>& args, int64_t begin, int64_t end) { forward(args, begin, end); }
SIMD_CLONES void backward_float(const TanhNormal<float>& args, int64_t begin, int64_t end) {
  backward(args, begin, end);
}

}  // namespace

namespace cpu {

#define INSTANTIATE(T, suffix)                                                       \
  template <>                                                                        \
  void tanh_normal(const TanhNormal<T>& args, int64_t begin, int64_t end) {          \
    forward##suffix(args, begin, end);                                               \
  }                                                                                  \
  template <>                                                                        \
  void tanh_normal_backward(const TanhNormal<T>& args, int64_t begin, int64_t end) { \
    backward##suffix(args, begin, end);                                              \
  }
INSTANTIATE(float, _float)
INSTANTIATE(double, )

}  // namespace cpu
}  // namespace pyslsac
