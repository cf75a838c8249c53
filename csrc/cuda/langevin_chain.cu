// The passes between the matrix products of the unfused chain: every thread works alone, on one element.
#include "../langevin_chain_launch.h"
#include "../launch.cuh"

namespace pyslsac::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kMembers = 65535;  // of a grid's second axis

// An element of [R E, B, W]: its index, its member's, and its row and column.
struct Element {
  int64_t index, member, row, column;
};

// Pass::at(args, group, element) for every element of args.group.
template <typename H, typename Pass>
__global__ void __launch_bounds__(kThreads) over_elements(ChainPass<H> args) {
  const ChainGroup& group = args.chain.group[args.group];
  const int64_t size = args.chain.batch * group.width, i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= size) return;
  for (int64_t m = blockIdx.y; m < args.chain.runs * group.members; m += gridDim.y)
    Pass::at(args, group, {m * size + i, m, i / group.width, i % group.width});
}

template <typename H, typename Pass>
void launch_over_elements(const ChainPass<H>& args, void* stream) {
  const ChainGroup& group = args.chain.group[args.group];
  const int64_t members = args.chain.runs * group.members;
  const dim3 grid(static_cast<unsigned>((args.chain.batch * group.width + kThreads - 1) / kThreads),
                  static_cast<unsigned>(members < kMembers ? members : kMembers));
  launch_kernel(over_elements<H, Pass>, grid, dim3(kThreads), 0, stream, args);
}

__device__ Activated activate(Activation kind, float x) {
  switch (kind) {
    case Activation::relu: return activated<Activation::relu>(x);
    case Activation::silu: return activated<Activation::silu>(x);
    case Activation::gelu: return activated<Activation::gelu>(x);
    case Activation::mish: return activated<Activation::mish>(x);
    default: return activated<Activation::tanh>(x);
  }
}

template <typename H>
__device__ float biased(const ChainPass<H>& args, const ChainGroup& group, const Element& here) {
  return widen(args.in[here.index]) + group.bias[args.layer][here.member * group.width + here.column];
}

struct Enter {
  template <typename H>
  static __device__ void at(const ChainPass<H>& args, const ChainGroup& group, const Element& here) {
    const LangevinChain& chain = args.chain;
    const int64_t run = here.member / group.members, e = here.member % group.members,
                  inputs = chain.obs_dim + chain.action_dim;
    const float* action = chain.action + (run * chain.batch + here.row) * chain.action_dim;
    const float* weight = group.weight[0] + (here.member * inputs + chain.obs_dim) * group.width + here.column;
    float x = args.base[here.index] + group.bias[0][here.member * group.width + here.column];
    if (group.step_bias)
      x += group.step_bias[((run * chain.steps + args.move) * group.members + e) * group.width + here.column];
    for (int64_t j = 0; j < chain.action_dim; ++j) x = fma_rn(action[j], weight[j * group.width], x);
    const Activated y = activate(group.activation, x);
    args.out[here.index] = narrow<H>(y.value), args.slope[here.index] = narrow<H>(y.slope);
  }
};

struct Between {
  template <typename H>
  static __device__ void at(const ChainPass<H>& args, const ChainGroup& group, const Element& here) {
    const Activated y = activate(group.activation, biased(args, group, here));
    args.out[here.index] = narrow<H>(y.value), args.slope[here.index] = narrow<H>(y.slope);
  }
};

struct Turn {
  template <typename H>
  static __device__ void at(const ChainPass<H>& args, const ChainGroup& group, const Element& here) {
    const Activated y = activate(group.activation, biased(args, group, here));
    args.wide[here.index] = y.value;
    args.out[here.index] = narrow<H>(y.slope * group.weight[group.layers - 1][here.member * group.width + here.column]);
  }
};

struct Back {
  template <typename H>
  static __device__ void at(const ChainPass<H>& args, const ChainGroup&, const Element& here) {
    args.out[here.index] = narrow<H>(widen(args.in[here.index]) * widen(args.slope[here.index]));
  }
};

struct Leave {
  template <typename H>
  static __device__ void at(const ChainPass<H>& args, const ChainGroup&, const Element& here) {
    args.wide[here.index] = widen(args.in[here.index]) * widen(args.slope[here.index]);
  }
};

// Q of a group's member e at row b of a run: the product, and the output's bias.
template <typename H>
__device__ float value_of(const ChainPass<H>& args, int g, int64_t run, int64_t e, int64_t b) {
  const ChainGroup& group = args.chain.group[g];
  const int64_t member = run * group.members + e;
  return args.q[g][member * args.chain.batch + b] + group.bias[group.layers - 1][member];
}

// The values of the members at one row, as reduce_weight reads them.
template <typename H>
struct Column {
  const ChainPass<H>& args;
  int g;
  int64_t run, b;
  __device__ float operator[](int64_t e) const { return value_of(args, g, run, e, b); }
};

template <typename H>
__global__ void __launch_bounds__(kThreads) combine(ChainPass<H> args) {
  const LangevinChain& chain = args.chain;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, row = i / chain.action_dim;
  if (row >= chain.runs * chain.batch) return;
  const int64_t run = row / chain.batch, b = row % chain.batch;
  const float std = chain.prior_mean ? chain.prior_std[i] : 1.0f;
  float drift = chain.prior_mean ? (chain.prior_mean[i] - chain.action[i]) / (std * std) : 0.0f;
  for (int g = 0; g < chain.groups; ++g) {
    const ChainGroup& group = chain.group[g];
    const Column<H> q{args, g, run, b};
    const float coef = group.coef(args.move, run);
    for (int64_t e = 0; e < group.members; ++e) {
      const float weight = reduce_weight(group.reduce, q, group.members, e, group.member[run]);
      if (weight == 0.0f) continue;
      const int64_t at = ((run * group.members + e) * chain.batch + b) * chain.action_dim + i % chain.action_dim;
      drift += coef * weight * args.gradient[g][at];
    }
  }
  args.drift[i] = drift;
}

template <typename H>
__global__ void __launch_bounds__(kThreads) values(ChainPass<H> args) {
  const LangevinChain& chain = args.chain;
  const ChainGroup& group = chain.group[args.group];
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, member = i / chain.batch;
  if (member >= chain.runs * group.members) return;
  const int64_t run = member / group.members, e = member % group.members, b = i % chain.batch;
  chain.values[(run * chain.members + group.first + e) * chain.batch + b] = value_of(args, args.group, run, e, b);
}

dim3 blocks(int64_t count) { return dim3(static_cast<unsigned>((count + kThreads - 1) / kThreads)); }

}  // namespace

template <typename H>
void chain_combine(const ChainPass<H>& args, void* stream) {
  const LangevinChain& chain = args.chain;
  const dim3 grid = blocks(chain.runs * chain.batch * chain.action_dim);
  launch_kernel(combine<H>, grid, dim3(kThreads), 0, stream, args);
}

template <typename H>
void chain_values(const ChainPass<H>& args, void* stream) {
  const dim3 grid = blocks(args.chain.runs * args.chain.group[args.group].members * args.chain.batch);
  launch_kernel(values<H>, grid, dim3(kThreads), 0, stream, args);
}

#define OVER_ELEMENTS(name, Pass)                     \
  template <typename H>                               \
  void name(const ChainPass<H>& args, void* stream) { \
    launch_over_elements<H, Pass>(args, stream);      \
  }                                                   \
  template void name(const ChainPass<float>&, void*); \
  template void name(const ChainPass<Bfloat16>&, void*);
OVER_ELEMENTS(chain_enter, Enter)
OVER_ELEMENTS(chain_activate, Between)
OVER_ELEMENTS(chain_turn, Turn)
OVER_ELEMENTS(chain_return, Back)
OVER_ELEMENTS(chain_leave, Leave)

template void chain_combine(const ChainPass<float>&, void*);
template void chain_combine(const ChainPass<Bfloat16>&, void*);
template void chain_values(const ChainPass<float>&, void*);
template void chain_values(const ChainPass<Bfloat16>&, void*);

}  // namespace pyslsac::cuda
