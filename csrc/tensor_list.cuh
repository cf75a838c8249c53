// Launches over a list of parameters, whose descriptions travel with the launch, and the norms of its groups. A list
// has tensors, count and chunks, groups(), norms() (are there any?), and with them sums, factors and factor(squares).
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "launch.cuh"
#include "tensor_list.h"

namespace pyslsac::cuda {

constexpr int kListTensors = 256;   // longer lists take several launches
constexpr int64_t kShortSum = 256;  // chunks of a group that every block of the step adds by itself

template <typename List>
struct ListLaunch {
  using Tensor = std::remove_cv_t<std::remove_reference_t<decltype(*std::declval<List>().tensors)>>;
  List args;
  bool first, last, short_sums;  // of the launches over the list; factors are not there yet
  Tensor tensors[kListTensors];

  __device__ __forceinline__ List list() const {
    List list = args;
    list.tensors = tensors;
    return list;
  }
};

// fn(launch, its chunks) for the list in parts of at most kListTensors.
template <typename List, typename Fn>
void for_each_launch(const List& args, Fn fn) {
  ListLaunch<List> launch{args, true, false, false, {}};
  int64_t longest = 0;
  for (int64_t i = 0; i < args.count; ++i) longest += reduce_chunks(args.tensors[i].size);
  launch.short_sums = args.norms() && args.count <= kListTensors && longest <= kShortSum;
  for (int64_t start = 0; start < args.count; start += kListTensors) {
    const int64_t stop = std::min<int64_t>(start + kListTensors, args.count);
    std::copy(args.tensors + start, args.tensors + stop, launch.tensors);
    launch.args.count = stop - start;
    launch.first = start == 0, launch.last = stop == args.count;
    fn(launch, (launch.last ? args.chunks : args.tensors[stop].first_chunk) - args.tensors[start].first_chunk);
  }
}

// A group's chunk sums added in index order to `total`; every lane of the calling warp gets the sum.
template <typename List>
__device__ double add_sums(const List& args, int64_t group, double total) {
  for (int64_t i = 0; i < args.count; ++i) {
    const int64_t chunks = reduce_chunks(args.tensors[i].size), base = args.tensors[i].first_chunk + group * chunks;
    for (int64_t chunk = threadIdx.x % 32; chunk - threadIdx.x % 32 < chunks; chunk += 32) {
      const double sum = chunk < chunks ? args.sums[base + chunk] : 0.0;
#pragma unroll
      for (int lane = 0; lane < 32; ++lane) total += __shfl_sync(0xFFFFFFFF, sum, lane);
    }
  }
  return total;
}

// One warp a group: its factor, or over the launches before the last its sum so far.
template <typename List>
__global__ void add_group(const __grid_constant__ ListLaunch<List> launch) {
  const List args = launch.list();
  const double total = add_sums(args, blockIdx.x, launch.first || threadIdx.x > 0 ? 0.0 : args.factors[blockIdx.x]);
  if (threadIdx.x == 0) args.factors[blockIdx.x] = launch.last ? args.factor(total) : total;
}

template <typename List>
void add_groups(const List& args, void* stream) {
  for_each_launch(args, [&](const ListLaunch<List>& launch, int64_t) {
    if (!launch.short_sums) launch_kernel(add_group<List>, args.groups(), 32, 0, stream, launch);
  });
}

// A group's factor in the step, for the lanes of one warp.
template <typename List>
__device__ double factor_of(const ListLaunch<List>& launch, const List& args, int64_t group) {
  if (!args.norms()) return 1.0;
  return launch.short_sums ? args.factor(add_sums(args, group, 0.0)) : args.factors[group];
}

}  // namespace pyslsac::cuda
