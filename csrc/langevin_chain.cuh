// What the fused kernels of langevin_chain share: what a cluster's blocks tell each other, and the move they then make.
#pragma once

#include "cluster.cuh"
#include "langevin_chain_fused.h"

namespace pyslsac {

// The group of the member that is number `rank` of all.
__device__ __forceinline__ int group_of(const LangevinChain& c, int64_t rank) {
  int g = 0;
  while (g + 1 < c.groups && rank >= c.group[g + 1].first) ++g;
  return g;
}

// What the blocks of a cluster work on.
struct Samples {
  int64_t run, first, present;  // samples first .. first + present - 1 of a run
};

// Member `rank` writes its dQ/da and Q, the sums over the parts that its warps left, into every block of the cluster:
// part [kParts, kRows, A], q_part [kParts, kRows], found [M, kRows, A + 1].
template <int kRows, int kParts>
__device__ void tell_cluster(float* found, int rank, int64_t members, const float* part, const float* q_part,
                             float out_bias, int64_t actions) {
  for (int64_t i = threadIdx.x; i < kRows * (actions + 1); i += blockDim.x) {
    const int64_t row = i / (actions + 1), coordinate = i % (actions + 1);
    float sum = coordinate == actions ? out_bias : 0.0f;
    for (int p = 0; p < kParts; ++p)
      sum += coordinate == actions ? q_part[p * kRows + row] : part[(p * kRows + row) * actions + coordinate];
    for (int64_t peer = 0; peer < members; ++peer) store_remote(found + rank * kRows * (actions + 1) + i, peer, sum);
  }
}

// Q(s, last action) of member `rank`.
template <int kRows, int kParts>
__device__ void write_values(const LangevinChain& c, const Samples& samples, int rank, const float* q_part,
                             float out_bias) {
  if (threadIdx.x >= samples.present) return;
  float q = out_bias;
  for (int p = 0; p < kParts; ++p) q += q_part[p * kRows + threadIdx.x];
  c.values[(samples.run * c.members + rank) * c.batch + samples.first + threadIdx.x] = q;
}

// Adds up the drift of kRows samples from what the members found, `found` [M, kRows, A + 1], and makes a move: half a
// Q of a group's members at one row, as reduce_weight reads them.
struct Told {
  const float* q;
  int64_t stride;
  __device__ float operator[](int64_t e) const { return q[e * stride]; }
};

// warp to a sample.
template <int kRows>
__device__ void make_move(const LangevinChain& c, const Samples& samples, int64_t k, const float* found, float* action,
                          bool writes) {
  const int lane = threadIdx.x % 32;
  const int64_t actions = c.action_dim, width = actions + 1;
  for (int64_t row = 2 * (threadIdx.x / 32) + lane / 16; row < kRows; row += blockDim.x / 16) {
    const int64_t sample = samples.run * c.batch + samples.first + row;
    const bool present = row < samples.present;
    float drift[2] = {}, sum = 0;  // at most 32 coordinates
    for (int part = 0; part < 2; ++part) {
      const int64_t i = lane % 16 + 16 * part;
      if (i >= actions) break;
      for (int g = 0; g < c.groups; ++g) {
        const ChainGroup& group = c.group[g];
        const float *of = found + (group.first * kRows + row) * width, coef = group.coef(k, samples.run);
        const Told q{of + actions, kRows * width};
        float reduced = 0;
        for (int64_t e = 0; e < group.members; ++e)
          reduced +=
              of[e * kRows * width + i] * reduce_weight(group.reduce, q, group.members, e, group.member[samples.run]);
        drift[part] = fma_rn(coef, reduced, drift[part]);
      }
      if (c.prior_mean && present) {
        const float deviation = c.prior_std[sample * actions + i];
        drift[part] += (c.prior_mean[sample * actions + i] - action[row * actions + i]) / (deviation * deviation);
      }
      sum = fma_rn(drift[part], drift[part], sum);
    }
    UNROLL for (int offset = 8; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xFFFFFFFF, sum, offset);
    const float step_size = c.step_size(k, samples.run), noise = sqrt_rn(step_size * c.temperature(k, samples.run));
    const float push = 0.5f * step_size * c.drift_scale(k, samples.run) * limit_factor(c.limit, c.grad_cap, sum);
    for (int part = 0; part < 2; ++part) {
      const int64_t i = lane % 16 + 16 * part, element = (samples.first + row) * actions + i;
      if (i >= actions) break;
      float xi[4], normal = 0, *at = action + row * actions + i;
      const auto seed = static_cast<uint64_t>(c.seed[samples.run]), step = static_cast<uint64_t>(c.step[0] + k);
      philox_normal4(seed, step, c.stream, static_cast<uint32_t>(element / 4), xi);
      UNROLL for (int j = 0; j < 4; ++j) normal = element % 4 == j ? xi[j] : normal;
      if (!c.drift_only) *at = langevin_move(*at, drift[part], normal, push, noise, c.low, c.high);
      if (!writes || !present) continue;
      if (c.path) c.path[((samples.run * c.steps + k) * c.batch + samples.first + row) * actions + i] = *at;
      if (k + 1 == c.steps) c.action[sample * actions + i] = c.drift_only ? drift[part] : *at;
    }
  }
}

}  // namespace pyslsac
