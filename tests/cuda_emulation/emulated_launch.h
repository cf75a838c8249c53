// csrc/launch.cuh for the emulation.
#pragma once

#include <tuple>
#include <utility>

#include "emulator.h"

namespace pyslsac {

template <typename... Parameters>
struct EmulatedCall {
  void (*kernel)(Parameters...);
  std::tuple<Parameters...> args;

  // A thread of the kernel. Its copy of the arguments is made by the launch, so no access that anybody looks at.
  __attribute__((no_sanitize("thread"))) static void thread(const void* self) {
    static_cast<const EmulatedCall*>(self)->call(std::index_sequence_for<Parameters...>());
  }
  template <size_t... I>
  __attribute__((no_sanitize("thread"))) void call(std::index_sequence<I...>) const {
    kernel(std::get<I>(args)...);
  }
};

template <typename... Parameters, typename... Args>
void launch_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, void*,
                   const Args&... args) {
  if (grid.x == 0) return;
  const EmulatedCall<Parameters...> call{kernel, {args...}};
  emulation::launch(grid, block, 1, shared_bytes, &EmulatedCall<Parameters...>::thread, &call);
}

template <typename T>
T* dynamic_shared() {
  return static_cast<T*>(emulation::dynamic_shared());
}

}  // namespace pyslsac
