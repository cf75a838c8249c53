// A thread's own memory, which it keeps: to ask the system for it anew costs as much as the layers that work in it.
#pragma once

#include <vector>

#include "../platform.h"

namespace pyslsac {

constexpr int64_t kLine = 64 / sizeof(float);  // numbers of a cache line: a wide vector across two takes twice as long

inline int64_t whole_lines(int64_t size) { return (size + kLine - 1) / kLine * kLine; }

inline float* scratch(int64_t size) {  // from the start of a line on
  static thread_local std::vector<float> memory;
  if (static_cast<int64_t>(memory.size()) < size + kLine) memory.resize(size + kLine);
  return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
}

// Hands out memory that starts on a line, every place of it on a line too; of none it counts what would be handed out.
struct Places {
  float* memory;
  int64_t used = 0;  // numbers

  template <typename T>
  HOST_DEVICE void take(T*& place, int64_t count) {
    place = reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(memory) + used * sizeof(float));
    used += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * kLine;
  }
};

}  // namespace pyslsac
