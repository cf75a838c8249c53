// Small kernels, right and wrong, of what the emulation knows and the kernels of csrc/cuda/ do not all use.
#include "../../csrc/cluster.cuh"
#include "../../csrc/launch.cuh"
#include "../../csrc/mma.cuh"

using namespace pyslsac;

constexpr unsigned kAll = 0xFFFFFFFF;

__shared__ int cell[1024];

int thread() { return threadIdx.x; }
int lane() { return thread() % 32; }
int next_lane() { return thread() - lane() + (lane() + 1) % 32; }
int at() { return blockIdx.x * blockDim.x + thread(); }
unsigned half() { return lane() < 16 ? 0xFFFF : 0xFFFF0000; }

// A kernel and its launch; out: an int for every thread.
#define KERNEL(name)                                                                      \
  __global__ void name##_kernel(int* out);                                                \
  extern "C" void name(int* out, int64_t blocks, int64_t threads, int64_t shared_bytes) { \
    launch_kernel(name##_kernel, blocks, threads, shared_bytes, nullptr, out);            \
  }                                                                                       \
  void name##_kernel(int* out)

// Right.

KERNEL(warp_barrier) {
  cell[thread()] = thread();
  __syncwarp();
  out[at()] = cell[next_lane()];
}
KERNEL(warp_barrier_of_halves) {
  cell[thread()] = thread();
  __syncwarp(half());
  out[at()] = cell[thread() ^ 1];
}
KERNEL(warp_barriers_in_turn) {
  cell[thread()] = thread();
  __syncwarp();
  const int once = cell[next_lane()];
  __syncwarp();
  cell[thread()] = once;
  __syncwarp();
  out[at()] = cell[next_lane()];
}
KERNEL(shuffles) {
  const int up = __shfl_up_sync(kAll, thread(), 1), down = __shfl_down_sync(kAll, thread(), 1);
  const int swapped = __shfl_xor_sync(kAll, thread(), 1), first = __shfl_sync(kAll, thread(), 0);
  out[at()] = up + 100 * down + 10000 * swapped + 1000000 * first;
}
KERNEL(votes) {
  const int any = __any_sync(kAll, lane() == 3), all = __all_sync(kAll, lane() < 31);
  out[at()] = any + 2 * all + 4 * (__ballot_sync(kAll, lane() % 2) == 0xAAAAAAAA);
}
KERNEL(atomics) {
  atomicAdd(&out[0], 1);
  atomicMax(&out[1], thread());
}
KERNEL(dynamic) {
  int* cells = dynamic_shared<int>();
  cells[thread()] = thread();
  __syncthreads();
  out[at()] = cells[thread()];
}

// The same in clusters.
#define CLUSTER(name, blocks_to_a_cluster)                                                           \
  __global__ void name##_kernel(int* out);                                                           \
  extern "C" void name(int* out, int64_t blocks, int64_t threads, int64_t shared_bytes) {            \
    launch_cluster(name##_kernel, blocks, threads, blocks_to_a_cluster, shared_bytes, nullptr, out); \
  }                                                                                                  \
  void name##_kernel(int* out)

void tell_next() { store_remote(dynamic_shared<float>() + thread(), (cluster_rank() + 1) % 4, cluster_rank()); }

CLUSTER(ring, 4) {
  cluster_sync();
  tell_next();
  cluster_sync();
  out[at()] = dynamic_shared<float>()[thread() ^ 1];
}
CLUSTER(ring_twice, 4) {
  cluster_sync();
  tell_next();
  cluster_sync();
  const int told = dynamic_shared<float>()[thread() ^ 1];
  cluster_sync();
  tell_next();
  cluster_sync();
  out[at()] = told;
}
CLUSTER(cluster_turns, 4) {  // all read what one block then writes
  const int read = out[4 * blockDim.x];
  cluster_sync();
  if (at() == 0) out[4 * blockDim.x] = read + 1;
}

// Wrong.

CLUSTER(told_too_early, 4) {
  tell_next();
  cluster_sync();
}
CLUSTER(read_too_early, 4) {
  cluster_sync();
  tell_next();
  __syncthreads();
  out[at()] = dynamic_shared<float>()[thread() ^ 1];
  cluster_sync();
}
CLUSTER(told_again_too_early, 4) {
  cluster_sync();
  tell_next();
  cluster_sync();
  out[at()] = dynamic_shared<float>()[thread() ^ 1];
  tell_next();
  cluster_sync();
}
CLUSTER(told_who_leaves, 4) {
  cluster_sync();
  if (cluster_rank() != 2) tell_next();
}
CLUSTER(cluster_of_variables, 4) { cell[thread()] = 1; }

KERNEL(warp_barrier_of_the_wrong_half) {
  cell[thread()] = thread();
  __syncwarp(half());
  out[at()] = cell[thread() ^ 16];
}
KERNEL(barrier_of_a_warp_for_a_block) {
  cell[thread()] = thread();
  __syncwarp();
  out[at()] = cell[thread() ^ 32];
}
KERNEL(shuffle_orders_nothing) {
  cell[thread()] = thread();
  __shfl_sync(kAll, thread(), 0);
  out[at()] = cell[next_lane()];
}
KERNEL(write_after_read) {
  cell[thread()] = thread();
  __syncthreads();
  out[at()] = cell[next_lane()];
  cell[thread()] = 0;
}
KERNEL(atomic_and_plain) {
  atomicAdd(&out[0], 1);
  if (thread() == 40) out[1] = out[0];
}
KERNEL(two_blocks_one_cell) {
  if (thread() == 0) out[0] = 1;
}
KERNEL(read_by_one_block_written_by_another) {
  if (thread() == 0 && blockIdx.x == 0) out[0] = 1;
  if (thread() == 0 && blockIdx.x == 1) out[1] = out[0];
}
KERNEL(what_another_block_left) {
  if (thread() == 0 && blockIdx.x == 0) cell[3] = 1;
  if (thread() == 0 && blockIdx.x == 1) out[0] = cell[3];
}
KERNEL(source_not_in_the_mask) {
  if (lane() < 16) out[at()] = __shfl_sync(0xFFFF, thread(), 20);
}
KERNEL(two_places) {
  if (lane() < 16)
    __syncwarp();
  else
    __syncwarp();
}
KERNEL(one_leaves) {
  if (lane() != 5) __syncwarp();
}
KERNEL(half_a_block) {
  if (thread() < 32) __syncthreads();
}
KERNEL(two_barriers) {
  if (thread() < 32)
    __syncthreads();
  else
    __syncthreads();
}
KERNEL(array_bounds) { out[at()] = cell[thread() + 1024]; }
KERNEL(crooked_copy) { copy_async(dynamic_shared<char>() + 4, out); }
KERNEL(copy_never_awaited) {
  copy_async(dynamic_shared<char>() + 16 * thread(), out);
  copy_async_commit();
}
