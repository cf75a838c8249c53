#include "../tanh_normal.h"

#include <algorithm>

namespace pyslsac {

namespace {

// Else a lambda would be compiled once, for plain x86-64.
#define INLINE __attribute__((always_inline))

constexpr int64_t kChunk = 256;  // actions side by side, of as many rows as it takes

// Chunks of the actions of rows begin .. end - 1, in their order: work(first, count, mean, log_std, row), where row[i]
// says whose action first + i is.
template <typename T, typename Work>
HOST_DEVICE void in_chunks(const TanhNormal<T>& args, int64_t begin, int64_t end, Work work) {
  T mean[kChunk], log_std[kChunk];
  int64_t rows[kChunk], row = begin, column = 0;
  for (int64_t first = begin * args.actions; first < end * args.actions; first += kChunk) {
    const int64_t count = std::min(kChunk, end * args.actions - first);
    for (int64_t i = 0; i < count; ++i) {
      const T* params = args.params + 2 * row * args.actions + column;
      mean[i] = params[0], log_std[i] = params[args.actions], rows[i] = row;
      if (++column == args.actions) column = 0, ++row;
    }
    work(first, count, mean, log_std, rows);
  }
}

template <typename T>
HOST_DEVICE void forward(const TanhNormal<T>& args, int64_t begin, int64_t end) {
  std::fill(args.log_prob + begin, args.log_prob + end, T(0));
  in_chunks(args, begin, end,
            [&](int64_t first, int64_t count, const T* mean, const T* log_std, const int64_t* row) INLINE {
              const T* noise = args.noise + first;
              T action[kChunk], share[kChunk];
              for (int64_t i = 0; i < count; ++i) squash(mean[i], log_std[i], noise[i], &action[i], &share[i]);
              std::copy(action, action + count, args.action + first);
              for (int64_t i = 0; i < count; ++i) args.log_prob[row[i]] += share[i];
            });
}

template <typename T>
HOST_DEVICE void backward(const TanhNormal<T>& args, int64_t begin, int64_t end) {
  in_chunks(args, begin, end, [&](int64_t first, int64_t count, const T*, const T* log_std, const int64_t* row) INLINE {
    const T *noise = args.noise + first, *action = args.action + first, *action_grad = args.action_grad + first;
    T log_prob_grad[kChunk], mean_grad[kChunk], log_std_grad[kChunk];
    for (int64_t i = 0; i < count; ++i) log_prob_grad[i] = args.log_prob_grad[row[i]];
    for (int64_t i = 0; i < count; ++i)
      squash_back(log_std[i], noise[i], action[i], action_grad[i], log_prob_grad[i], &mean_grad[i], &log_std_grad[i]);
    for (int64_t i = 0; i < count; ++i) {
      T* grad = args.params_grad + first + i + row[i] * args.actions;
      grad[0] = mean_grad[i], grad[args.actions] = log_std_grad[i];
    }
  });
}

SIMD_CLONES void forward_float(const TanhNormal<float>& args, int64_t begin, int64_t end) { forward(args, begin, end); }
SIMD_CLONES void backward_float(const TanhNormal<float>& args, int64_t begin, int64_t end) {
  backward(args, begin, end);
}

}  // namespace

namespace cpu {

template <>
void tanh_normal(const TanhNormal<float>& args, int64_t begin, int64_t end) {
  forward_float(args, begin, end);
}
template <>
void tanh_normal_backward(const TanhNormal<float>& args, int64_t begin, int64_t end) {
  backward_float(args, begin, end);
}
template <>
void tanh_normal(const TanhNormal<double>& args, int64_t begin, int64_t end) {
  forward(args, begin, end);
}
template <>
void tanh_normal_backward(const TanhNormal<double>& args, int64_t begin, int64_t end) {
  backward(args, begin, end);
}

}  // namespace cpu
}  // namespace pyslsac
