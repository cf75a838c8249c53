// A thread's own memory, which it keeps: to ask the system for it anew costs as much as the layers that work in it.
#pragma once

#include <cstdint>
#include <vector>

namespace pyslsac {

inline float* scratch(int64_t size) {
  static thread_local std::vector<float> memory;
  if (static_cast<int64_t>(memory.size()) < size) memory.resize(size);
  return memory.data();
}

}  // namespace pyslsac
