// CUDA's words for a plain C++ compiler; included before the first line of a kernel file.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "emulator.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static thread_local      // one block runs at a time, on one host thread
#define NOINLINE __attribute__((noinline))  // so that its return address is the kernel's line
#define UNSEEN __attribute__((no_sanitize("thread")))

#define threadIdx (::emulation::thread_index())
#define blockIdx (::emulation::block_index())
#define blockDim (::emulation::block_size())
#define gridDim (::emulation::grid_size())

using std::max;
using std::min;

inline void __syncthreads(HERE) { emulation::block_barrier({file, line}); }
inline void __syncwarp(unsigned mask = 0xFFFFFFFF, HERE) { emulation::warp_barrier(mask, {file, line}); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }

namespace emulation {

template <typename T>
struct Shuffle {
  T value;
  int source;
  bool lost;  // the source is not among the lanes
};

// Every lane gets the value of the lane it names. They may come from anywhere, so all take before one gives.
template <typename T>
UNSEEN T shuffle(const char* what, unsigned mask, T value, int source, Place place) {
  static_assert(std::is_trivially_copyable<T>::value && sizeof(T) <= 8, "a shuffle moves 4 or 8 bytes");
  Shuffle<T> mine{value, source, false};
  meet(what, mask, place, &mine, [](void** lanes) UNSEEN {
    Shuffle<T> taken[kWarp];
    for (int l = 0; l < kWarp; ++l)
      if (lanes[l]) taken[l] = *static_cast<Shuffle<T>*>(lanes[l]);
    for (int l = 0; l < kWarp; ++l) {
      if (!lanes[l]) continue;
      auto* to = static_cast<Shuffle<T>*>(lanes[l]);
      to->lost = !lanes[taken[l].source];
      if (!to->lost) to->value = taken[taken[l].source].value;
    }
  });
  if (mine.lost)
    fail(name(running()) + " in " + what + " takes from lane " + std::to_string(source) + ", not in the mask");
  return mine.value;
}

inline int own_lane() { return running() % kWarp; }

// The lanes of the mask whose predicate holds.
inline UNSEEN unsigned vote(const char* what, unsigned mask, bool predicate, Place place) {
  unsigned mine = predicate;
  meet(what, mask, place, &mine, [](void** lanes) UNSEEN {
    unsigned ballot = 0;
    for (int l = 0; l < kWarp; ++l) ballot |= (lanes[l] && *static_cast<unsigned*>(lanes[l])) ? 1u << l : 0;
    for (int l = 0; l < kWarp; ++l)
      if (lanes[l]) *static_cast<unsigned*>(lanes[l]) = ballot;
  });
  return mine;
}

}  // namespace emulation

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, HERE) {
  return emulation::shuffle("__shfl_sync", mask, value, source % 32, {file, line});
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, HERE) {
  return emulation::shuffle("__shfl_xor_sync", mask, value, (emulation::own_lane() ^ bits) % 32, {file, line});
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, HERE) {
  const int lane = emulation::own_lane();
  return emulation::shuffle("__shfl_down_sync", mask, value, lane + by < 32 ? lane + by : lane, {file, line});
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, HERE) {
  const unsigned lane = emulation::own_lane();
  return emulation::shuffle("__shfl_up_sync", mask, value, lane >= by ? lane - by : lane, {file, line});
}
inline unsigned __ballot_sync(unsigned mask, bool predicate, HERE) {
  return emulation::vote("__ballot_sync", mask, predicate, {file, line});
}
inline bool __any_sync(unsigned mask, bool predicate, HERE) {
  return emulation::vote("__any_sync", mask, predicate, {file, line}) != 0;
}
inline bool __all_sync(unsigned mask, bool predicate, HERE) {
  return emulation::vote("__all_sync", mask, predicate, {file, line}) == mask;
}

#define ATOMIC(name, change)                                                                  \
  template <typename T>                                                                       \
  NOINLINE UNSEEN T name(T* to, T value) {                                                    \
    emulation::access(to, sizeof(T), emulation::Access::atomic, __builtin_return_address(0)); \
    const T old = *to;                                                                        \
    *to = change;                                                                             \
    return old;                                                                               \
  }
ATOMIC(atomicAdd, old + value)
ATOMIC(atomicMax, old < value ? value : old)
