// Memory for the tensors that an op makes.
#pragma once

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "checks.h"

namespace pyslsac {

using torch::headeronly::IntHeaderOnlyArrayRef;

#ifndef PYSLSAC_CUDA

// Blocks of the CPU, kept when their tensor goes and given to the next of its size, the last one first: it may still be
// in the cache. malloc maps and clears a large block anew each time, or takes it from a heap which, with the aligned
// blocks that torch asks for, glibc before 2.38 fills with holes that fit no second time: it grows by gigabytes.
class Blocks {
 public:
  static constexpr size_t kLeast = 1 << 18, kUnit = 1 << 16, kMost = size_t{1} << 30;  // bytes; kMost of them idle

  void* take(size_t bytes) {
    const size_t size = (bytes + kUnit - 1) / kUnit * kUnit;
    const std::lock_guard<std::mutex> locked(mutex_);
    std::vector<void*>& idle = idle_[size];
    void* block = nullptr;
    if (!idle.empty())
      block = idle.back(), idle.pop_back(), idle_bytes_ -= size;
    else if (!(block = std::aligned_alloc(64, size)))
      throw std::bad_alloc();
    size_[block] = size;
    return block;
  }

  void give_back(void* block) {
    const std::lock_guard<std::mutex> locked(mutex_);
    const size_t size = size_.extract(block).mapped();
    if (idle_bytes_ + size > kMost) {  // most of it of sizes that are asked for no more
      for (auto& [_, idle] : idle_)
        for (void* unused : idle) std::free(unused);
      idle_.clear(), idle_bytes_ = 0;
    }
    idle_[size].push_back(block), idle_bytes_ += size;
  }

  static Blocks& all() {
    static Blocks* blocks = new Blocks;  // never gone: a tensor may outlive every static object
    return *blocks;
  }

 private:
  std::mutex mutex_;
  std::map<size_t, std::vector<void*>> idle_;
  std::map<void*, size_t> size_;
  size_t idle_bytes_ = 0;
};

#endif

// An uninitialised tensor [sizes] on the device of `like`.
inline Tensor room(const Tensor& like, IntHeaderOnlyArrayRef sizes, ScalarType type) {
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t axis = sizes.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * sizes[axis];
#ifndef PYSLSAC_CUDA
  size_t bytes = aoti_torch_dtype_element_size(static_cast<int32_t>(type));
  for (const int64_t size : sizes) bytes *= size;
  if (bytes >= Blocks::kLeast) {
    return torch::stable::from_blob(
        Blocks::all().take(bytes), sizes, strides, torch::stable::Device(torch::headeronly::DeviceType::CPU), type,
        +[](void* block) { Blocks::all().give_back(block); });
  }
#endif
  int32_t place = 0, index = 0;
  AtenTensorHandle made = nullptr;  // by the shim itself: new_empty takes several microseconds to pack its arguments
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &place));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(like.get(), &index));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(sizes.size(), sizes.data(), strides.data(),
                                                         static_cast<int32_t>(type), place, index, &made));
  return Tensor(made);
}

inline Tensor room(const Tensor& like, IntHeaderOnlyArrayRef sizes) { return room(like, sizes, like.scalar_type()); }

}  // namespace pyslsac
