#include "../perceptron.h"

#include <type_traits>

#include "activate.h"
#include "alike_second.h"
#include "bf16_panel.h"

namespace pyslsac {

namespace {

// Rows first .. first + rows - 1 of network g, and room for what is kept nowhere.
struct Visit {
  int64_t g, first, rows;
  float *panel, *even, *odd, *slope, *nonzero, *alike, *bf16;
  uint32_t* live;
  HOST_DEVICE int64_t row(int64_t batch) const { return g * batch + first; }
  HOST_DEVICE float* in(float* kept, int l, const Perceptron& a) const {  // what layer l keeps of these rows
    return kept ? kept + row(a.batch) * a.layer[l].outputs : l % 2 ? odd : even;
  }
};

// Apart, so that the other loops are compiled as if it were not there.
#define JOIN(target, S, ...)                                                                       \
  target __attribute__((noinline)) bool join_at(const Perceptron& a, const Visit& v, float* out) { \
    return join<S>(a, v.g, v.first, v.rows, out, v.panel, v.alike);                                \
  }
SIMD_LEVELS(JOIN, )

// kBf16: the first a.bf16 layers multiply in bfloat16. Apart, so that float32's loops are compiled as if it were not
// there.
template <typename S, bool kBf16>
HOST_DEVICE void forward(const Perceptron& a, const Visit& v) {
  const int64_t inputs = a.layer[0].inputs;
  const float* x = a.x + (v.g / a.shared * a.batch + v.first) * inputs;
  const bool joined = v.alike && join_at(a, v, v.in(a.layer[1].out, 1, a));
  for (int l = joined; l < a.layers; ++l) {
    const PerceptronLayer& layer = a.layer[l];
    const int64_t width = layer.outputs;
    const float *weight = layer.weight + v.g * layer.inputs * width, *bias = layer.bias + v.g * width;
    float* out = v.in(layer.out, l, a);
    const bool curved = layer.kind > Layer::relu;
    const Enter sink{out, width, curved ? nullptr : bias, layer.kind == Layer::relu};
    const auto multiply = [&](const auto& left) __attribute__((always_inline)) {
      by_columns<S>(left, 1, layer.inputs, weight, width, v.panel, sink, v.rows, width);
    };
    if (joined && l == 1) {  // the product is there
    } else if (width == 1)
      for (int64_t i = 0; i < v.rows; ++i) sink(i, 0, inner<S>(x + i * layer.inputs, weight, layer.inputs));
    else if (kBf16 && l < a.bf16)
      bf16_by_columns<S>(x, layer.inputs, 1, layer.inputs, weight, width, v.bf16, v.panel, sink, v.rows, width);
    else if (l && a.layer[l - 1].kind == Layer::relu && Nonzero<S>::pays(x, v.rows, layer.inputs, v.nonzero))
      multiply(Nonzero<S>::find(x, v.rows, layer.inputs, v.nonzero));
    else
      multiply(Rows<const float>{x, layer.inputs});
    if (curved) {
      float* slope = layer.slope ? layer.slope + v.row(a.batch) * width : v.slope;
      activate(static_cast<Activation>(layer.kind), out, bias, out, slope, v.rows, width);
    }
    x = out;
  }
}

// Rows whose gradient is not all zeros, as those of critics that are not the least, or of costs without a price: the
// others take no part, unless the weights learn.
HOST_DEVICE int64_t find_live(const Perceptron& a, const Visit& v, const float* grad, int64_t outputs) {
  int64_t count = 0;
  for (int64_t i = 0; i < v.rows; ++i) {
    uint32_t bits = 0;
    for (int64_t c = 0; c < outputs; ++c) bits |= bits_of(grad[i * outputs + c]) << 1;
    v.live[count] = static_cast<uint32_t>(i);
    count += bits || a.layer[0].weight_grad;
  }
  return count;
}

// The last layer's gradient by its product, then those of the layers before it, of live rows only.
template <typename S, bool kBf16>
HOST_DEVICE void backward(const Perceptron& a, const Visit& v) {
  const auto leave = [&](int l, float* grad) {
    const PerceptronLayer& layer = a.layer[l];
    const int64_t at = v.row(a.batch) * layer.outputs;
    return Leave{grad, layer.outputs, v.live, layer.kind == Layer::relu ? layer.out + at : nullptr,
                 layer.kind > Layer::relu ? layer.slope + at : nullptr};
  };
  const int last = a.layers - 1;
  const int64_t ends = a.layer[last].outputs;
  const float* grad = a.y_grad + v.row(a.batch) * ends;
  const int64_t rows = find_live(a, v, grad, ends);
  const bool some = rows < v.rows;
  if (some || a.layer[last].kind != Layer::linear) {
    float* to = v.in(a.layer[last].grad, last, a);
    const Leave sink = leave(last, to);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t c = 0; c < ends; ++c) sink(i, c, grad[v.live[i] * ends + c]);
    grad = to;
  }
  float* const x_grad = a.x_grad ? a.x_grad + v.row(a.batch) * a.x_columns : nullptr;
  for (int l = last; l >= 0 && (l || x_grad) && rows; --l) {
    const PerceptronLayer& layer = a.layer[l];
    const int64_t inputs = l ? layer.inputs : a.x_columns, width = layer.outputs;
    float* to = l ? v.in(a.layer[l - 1].grad, l - 1, a) : some ? v.odd : x_grad;
    const Leave sink = l ? leave(l - 1, to) : Leave{to, inputs, v.live, nullptr, nullptr};
    const float* weight = layer.weight + ((v.g + 1) * layer.inputs - inputs) * width;
    if (width == 1)
      for (int64_t i = 0; i < rows; ++i) scaled<S>(grad[i], weight, inputs, sink, i);
    else if (kBf16 && l < a.bf16)
      bf16_by_rows<S>(grad, width, weight, v.bf16, v.panel, sink, rows, inputs);
    else if (layer.kind == Layer::relu && Nonzero<S>::pays(grad, rows, width, v.nonzero))
      by_rows<S>(Nonzero<S>::find(grad, rows, width, v.nonzero), width, weight, v.panel, sink, rows, inputs);
    else
      by_rows<S>(Rows<const float>{grad, width}, width, weight, v.panel, sink, rows, inputs);
    grad = to;
  }
  if (!some || !x_grad) return;
  std::fill(x_grad, x_grad + v.rows * a.x_columns, 0.0f);
  for (int64_t i = 0; i < rows; ++i) std::copy_n(grad + i * a.x_columns, a.x_columns, x_grad + v.live[i] * a.x_columns);
}

HOST_DEVICE int64_t part_columns(const Perceptron& a, int l) {
  return l < a.bf16 ? cpu::kBf16Columns : cpu::kPerceptronColumns;
}
HOST_DEVICE int64_t parts(const Perceptron& a, int l) {
  return (a.layer[l].outputs + part_columns(a, l) - 1) / part_columns(a, l);
}

// The gradients of some columns of a layer's weights, summed over the batch in its order, kPerceptronBatch rows at a
// time.
template <typename S, bool kBf16>
HOST_DEVICE void weights(const Perceptron& a, int64_t begin, int64_t end) {
  const int64_t units = cpu::perceptron_columns(a), depth = std::min(a.batch, cpu::kPerceptronBatch);
  int64_t rows = cpu::kBf16Columns;
  for (int l = 0; l < a.layers; ++l) rows = std::max(rows, a.layer[l].inputs);
  const int64_t size = (depth + rows) * Lanes<S>::kPanel;
  float* const panel = scratch(size + (kBf16 ? Bf16Memory::size(rows, depth, cpu::kBf16Columns) : 0));
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t g = unit / units;
    int64_t part = units - 1 - unit % units;  // small ones, most of them of the first layer, come last
    int l = 0;
    for (; part >= parts(a, l); ++l) part -= parts(a, l);
    const PerceptronLayer& layer = a.layer[l];
    const int64_t inputs = layer.inputs, width = layer.outputs, first = part * part_columns(a, l);
    const int64_t columns = std::min(part_columns(a, l), width - first);
    const float* x = l ? a.layer[l - 1].out + g * a.batch * inputs : a.x + g / a.shared * a.batch * inputs;
    const float* grad =
        (l + 1 == a.layers && layer.kind == Layer::linear ? a.y_grad : layer.grad) + g * a.batch * width;
    float *to = layer.weight_grad + g * inputs * width, *bias = layer.bias_grad + g * width;
    if (!a.add) std::fill(bias + first, bias + first + columns, 0.0f);
    for (int64_t b = 0; b < a.batch; ++b)
      for (int64_t c = first; c < first + columns; ++c) bias[c] += grad[b * width + c];
    if (width > 1) {
      int64_t b = 0;
      do {
        const int64_t some = std::min(a.batch - b, cpu::kPerceptronBatch);
        const float *left = x + b * inputs, *right = grad + b * width + first;
        const Gather sink{to + first, width, a.add || b > 0};
        if (kBf16 && l < a.bf16)
          bf16_by_columns<S>(left, 1, inputs, some, right, width, panel + size, panel, sink, inputs, columns);
        else
          by_columns<S>(Rows<const float>{left, 1}, inputs, some, right, width, panel, sink, inputs, columns);
      } while ((b += cpu::kPerceptronBatch) < a.batch);
    } else {
      if (!a.add) std::fill(to, to + inputs, 0.0f);
      for (int64_t b = 0; b < a.batch; ++b)
        for (int64_t c = 0; c < inputs; ++c) to[c] += grad[b] * x[b * inputs + c];
    }
  }
}

template <typename S, bool kForward, bool kBf16>
HOST_DEVICE void pass(const Perceptron& a, int64_t begin, int64_t end) {
  int64_t width = a.layer[0].inputs;
  for (int l = 0; l < a.layers; ++l) width = std::max(width, a.layer[l].outputs);
  const int64_t panel = (width + a.block) * Lanes<S>::kPanel, rows = whole_lines(a.block * width);
  const int64_t nonzero = whole_lines(Nonzero<S>::size(a.block, width));
  const bool joins = kForward && !kBf16 && may_join(a);
  const int64_t alike = joins ? Alike<S>(nullptr, a.block, a.layer[0].inputs, a.layer[0].outputs, nullptr).used : 0;
  const int64_t bf16 = kBf16 ? Bf16Memory::size(a.block, width, width) : 0;
  float* at = scratch(panel + 3 * rows + nonzero + alike + bf16 + a.block);
  const auto take = [&](int64_t count) { return at += count, at - count; };
  Visit v{};
  v.panel = take(panel), v.even = take(rows), v.odd = take(rows), v.slope = take(rows), v.nonzero = take(nonzero);
  v.alike = joins ? take(alike) : nullptr, v.bf16 = take(bf16), v.live = reinterpret_cast<uint32_t*>(at);
  for (int64_t unit = begin; unit < end; ++unit) {
    v.g = unit / cpu::blocks(a), v.first = unit % cpu::blocks(a) * a.block;
    v.rows = std::min(a.block, a.batch - v.first);
    if constexpr (kForward)
      forward<S, kBf16>(a, v);
    else
      backward<S, kBf16>(a, v);
  }
}

#define LEVEL(target, S, kBf16)                                                                                        \
  target void forward_at(const Perceptron& a, Precision<kBf16>, int64_t begin, int64_t end) {                          \
    at_level<S, kBf16>([&](auto s) __attribute__((always_inline)) { pass<decltype(s), true, kBf16>(a, begin, end); }); \
  }                                                                                                                    \
  target void backward_at(const Perceptron& a, Precision<kBf16>, int64_t begin, int64_t end) {                         \
    at_level<S, kBf16>([&](auto s)                                                                                     \
                           __attribute__((always_inline)) { pass<decltype(s), false, kBf16>(a, begin, end); });        \
  }                                                                                                                    \
  target void weights_at(const Perceptron& a, Precision<kBf16>, int64_t begin, int64_t end) {                          \
    at_level<S, kBf16>([&](auto s) __attribute__((always_inline)) { weights<decltype(s), kBf16>(a, begin, end); });    \
  }
template <bool kBf16>
using Precision = std::bool_constant<kBf16>;
SIMD_LEVELS(LEVEL, false)
SIMD_LEVELS(LEVEL, true)

}  // namespace

namespace cpu {

void perceptron(const Perceptron& args, int64_t begin, int64_t end) {
  args.bf16 ? forward_at(args, Precision<true>{}, begin, end) : forward_at(args, Precision<false>{}, begin, end);
}
void perceptron_backward(const Perceptron& args, int64_t begin, int64_t end) {
  args.bf16 ? backward_at(args, Precision<true>{}, begin, end) : backward_at(args, Precision<false>{}, begin, end);
}
void perceptron_weights(const Perceptron& args, int64_t begin, int64_t end) {
  args.bf16 ? weights_at(args, Precision<true>{}, begin, end) : weights_at(args, Precision<false>{}, begin, end);
}

int64_t perceptron_columns(const Perceptron& args) {
  int64_t count = 0;
  for (int l = 0; l < args.layers; ++l) count += parts(args, l);
  return count;
}

}  // namespace cpu
}  // namespace pyslsac
