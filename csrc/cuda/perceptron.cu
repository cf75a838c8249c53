// The passes around the matrix products: bias and activation behind one; slope, the bias's gradient and all about a
// single output before the next.
#include <algorithm>

#include "../launch.cuh"
#include "../perceptron.h"

namespace pyslsac::cuda {

namespace {

constexpr int kWarps = 16, kThreads = 32 * kWarps;

unsigned blocks(int64_t elements) { return static_cast<unsigned>((elements + kThreads - 1) / kThreads); }

__device__ Activated activate(Layer kind, float x) {
  switch (kind) {
    case Layer::linear: return {x, 1.0f};
    case Layer::relu: return activated<Activation::relu>(x);
    case Layer::silu: return activated<Activation::silu>(x);
    case Layer::gelu: return activated<Activation::gelu>(x);
    case Layer::mish: return activated<Activation::mish>(x);
    default: return activated<Activation::tanh>(x);
  }
}

// Values x [G / shared, B, width] that enter a layer.
struct Inputs {
  const float* data;
  int64_t shared;
  __device__ const float* row(int64_t g, int64_t b, int64_t batch, int64_t width) const {
    return data + (g / shared * batch + b) * width;
  }
};

// x for each network: what a product of matrices that only some networks share wants.
__global__ void __launch_bounds__(kThreads) spread(Inputs x, float* to, int64_t networks, int64_t size) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < networks * size) to[i] = x.row(i / size, 0, 1, size)[i % size];
}

// out holds x W, and then activation(x W + b).
__global__ void __launch_bounds__(kThreads) enter(PerceptronLayer layer, float* out, int64_t networks, int64_t batch) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, row = i / layer.outputs;
  if (row >= networks * batch) return;
  const Activated y = activate(layer.kind, out[i] + layer.bias[row / batch * layer.outputs + i % layer.outputs]);
  out[i] = y.value;
  if (layer.slope) layer.slope[i] = y.slope;
}

// A layer of one output, a warp to a row.
__global__ void __launch_bounds__(kThreads)
    single(PerceptronLayer layer, Inputs x, float* out, int64_t networks, int64_t batch) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32, g = row / batch;
  if (row >= networks * batch) return;
  const float *from = x.row(g, row % batch, batch, layer.inputs), *weight = layer.weight + g * layer.inputs;
  float sum = 0;
  for (int64_t k = threadIdx.x % 32; k < layer.inputs; k += 32) sum = fma_rn(from[k], weight[k], sum);
  UNROLL for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xFFFFFFFF, sum, offset);
  if (threadIdx.x % 32 > 0) return;
  const Activated y = activate(layer.kind, sum + layer.bias[g]);
  out[row] = y.value;
  if (layer.slope) layer.slope[row] = y.slope;
}

// Gradients by the values of a layer on their way through its activation.
struct Back {
  const float *sum, *grad, *weight;  // [G, B, W]; or null: grad [G, B] weight [G, W], of a single output above
  const float *value, *slope;        // a ReLU's, or slopes; both null: nothing to pass
  Inputs x;                          // behind weight_grad
  float *out, *bias_grad;            // [G, B, W], [G, W]; null: not wanted
  float *weight_grad, *above_grad;   // of the single output: [G, W]; of its bias, [G]
  int64_t batch, width, skipped;     // the first columns, of which `out` has none
};

int64_t column_blocks(int64_t width) { return (width + 31) / 32; }

// 32 columns of a network a block; each warp takes its share of the rows, and the warps' sums are added in their order.
__global__ void __launch_bounds__(kThreads) back(Back a, int64_t blocks) {
  __shared__ float part[3][kWarps][32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t g = blockIdx.x / blocks, c = blockIdx.x % blocks * 32 + lane;
  float sums[3] = {};
#pragma unroll 4
  for (int64_t b = warp; c < a.width && b < a.batch; b += kWarps) {
    const int64_t row = g * a.batch + b, at = row * a.width + c;
    const float grad = a.grad ? a.grad[row] : 0.0f;
    float s = a.sum ? a.sum[at] : grad * a.weight[g * a.width + c];
    if (a.value) s = a.value[at] <= 0 ? 0.0f : s;
    if (a.slope) s *= a.slope[at];
    if (a.out && c >= a.skipped) a.out[row * (a.width - a.skipped) + c - a.skipped] = s;
    sums[0] += s, sums[1] += grad;
    if (a.weight_grad) sums[2] = fma_rn(grad, a.x.row(g, b, a.batch, a.width)[c], sums[2]);
  }
  UNROLL for (int i = 0; i < 3; ++i) part[i][warp][lane] = sums[i];
  __syncthreads();
  if (warp >= 3 || c >= a.width) return;
  float sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += part[warp][w][lane];
  if (warp == 0 && a.bias_grad) a.bias_grad[g * a.width + c] = sum;
  if (warp == 1 && a.above_grad && c == 0) a.above_grad[g] = sum;
  if (warp == 2 && a.weight_grad) a.weight_grad[g * a.width + c] = sum;
}

int64_t widest(const Perceptron& a) {
  int64_t width = 0;
  for (int l = 0; l < a.layers; ++l) width = std::max(width, a.layer[l].outputs);
  return width;
}

// Room for x of each network, where only some share theirs.
int64_t spread_size(const Perceptron& a) {
  const bool some = a.shared > 1 && a.shared < a.networks;
  return some ? a.networks * a.batch * a.layer[0].inputs : 0;
}

// The way through the layers of one call.
struct Way {
  const PerceptronCall& call;
  const Perceptron& a;
  void* stream;

  float* room(int l) const {  // for a layer whose values or gradients are kept nowhere
    return call.scratch + spread_size(a) + l % 2 * a.networks * a.batch * widest(a);
  }
  Inputs entering() const {
    if (spread_size(a) == 0) return {a.x, a.shared};
    const int64_t size = a.batch * a.layer[0].inputs;
    launch_kernel(spread, blocks(a.networks * size), kThreads, 0, stream, Inputs{a.x, a.shared}, call.scratch,
                  a.networks, size);
    return {call.scratch, 1};
  }
  void pass_back(const Back& b) const {
    const int64_t each = column_blocks(b.width);
    launch_kernel(back, static_cast<unsigned>(a.networks * each), kThreads, 0, stream, b, each);
  }
  Back through(int l) const {  // layer l's activation; l = -1: there is none
    Back b{};
    b.batch = a.batch, b.width = l < 0 ? a.layer[0].inputs : a.layer[l].outputs;
    if (l < 0) return b;
    const PerceptronLayer& layer = a.layer[l];
    b.value = layer.kind == Layer::relu ? layer.out : nullptr;
    b.slope = layer.kind > Layer::relu ? layer.slope : nullptr;
    b.bias_grad = layer.bias_grad;
    return b;
  }
};

}  // namespace

int64_t perceptron_scratch(const Perceptron& args) {
  return spread_size(args) + 2 * args.networks * args.batch * widest(args);
}

void perceptron(const PerceptronCall& call, void* stream) {
  const Perceptron& a = call.args;
  const Way way{call, a, stream};
  Inputs x = way.entering();
  for (int l = 0; l < a.layers; ++l) {
    const PerceptronLayer& layer = a.layer[l];
    float* const out = layer.out ? layer.out : way.room(l);
    const int64_t rows = a.networks * a.batch;
    if (layer.outputs == 1) {
      launch_kernel(single, blocks(32 * rows), kThreads, 0, stream, layer, x, out, a.networks, a.batch);
    } else {
      call.multiply({x.data, layer.weight, out, a.networks, a.batch, layer.inputs, layer.outputs,
                     x.shared > 1 ? 0 : a.batch * layer.inputs, layer.inputs * layer.outputs, false, false});
      launch_kernel(enter, blocks(rows * layer.outputs), kThreads, 0, stream, layer, out, a.networks, a.batch);
    }
    x = {out, 1};
  }
}

void perceptron_backward(const PerceptronCall& call, void* stream) {
  const Perceptron& a = call.args;
  const Way way{call, a, stream};
  const int last = a.layers - 1;
  const PerceptronLayer& top = a.layer[last];
  const float* grad = a.y_grad;
  if (top.kind != Layer::linear || (top.bias_grad && top.outputs > 1)) {
    Back b = way.through(last);
    b.sum = grad, b.out = top.kind == Layer::linear ? nullptr : top.grad ? top.grad : way.room(last + 1);
    way.pass_back(b);
    grad = b.out ? b.out : grad;
  }
  const Inputs entered = top.weight_grad ? way.entering() : Inputs{};
  for (int l = last; l >= 0; --l) {
    const PerceptronLayer& layer = a.layer[l];
    const Inputs x = l ? Inputs{a.layer[l - 1].out, 1} : entered;
    float* const to = l == 0 ? a.x_grad : a.layer[l - 1].grad ? a.layer[l - 1].grad : way.room(l);
    Back b = way.through(l - 1);
    const int64_t wanted = l ? layer.inputs : a.x_columns, skipped = layer.inputs - wanted;
    b.out = to, b.skipped = skipped;
    if (layer.outputs == 1) {
      b.grad = grad, b.weight = layer.weight, b.x = x, b.weight_grad = layer.weight_grad;
      b.above_grad = l == last && layer.kind == Layer::linear ? layer.bias_grad : nullptr;
      way.pass_back(b);
    } else {
      if (layer.weight_grad)
        call.multiply({x.data, grad, layer.weight_grad, a.networks, layer.inputs, a.batch, layer.outputs,
                       x.shared > 1 ? 0 : a.batch * layer.inputs, a.batch * layer.outputs, true, false});
      if (to)
        call.multiply({grad, layer.weight + skipped * layer.outputs, to, a.networks, a.batch, layer.outputs, wanted,
                       a.batch * layer.outputs, layer.inputs * layer.outputs, false, true});
      if (l) b.sum = to, way.pass_back(b);
    }
    grad = to;
  }
}

}  // namespace pyslsac::cuda
