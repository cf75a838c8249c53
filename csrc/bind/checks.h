// What every binding shares: checks whose messages name op, argument, what came and what was wanted; and the launch.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string>

#include "../platform.h"

#ifdef PYSLSAC_CUDA
#include <cuda_runtime_api.h>
#define PYSLSAC_KEY CUDA
#else
#define PYSLSAC_KEY CPU
#endif

namespace pyslsac {

namespace cpu {}
namespace cuda {}
#ifdef PYSLSAC_CUDA
namespace backend = cuda;
#else
namespace backend = cpu;
#endif

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline std::string describe(const Tensor& tensor) {
  std::ostringstream text;
  switch (tensor.scalar_type()) {
    case ScalarType::Float: text << "float32"; break;
    case ScalarType::Double: text << "float64"; break;
    case ScalarType::BFloat16: text << "bfloat16"; break;
    case ScalarType::Half: text << "float16"; break;
    case ScalarType::Int: text << "int32"; break;
    case ScalarType::Long: text << "int64"; break;
    case ScalarType::Bool: text << "bool"; break;
    default: text << "another dtype";
  }
  text << " [";
  for (int64_t i = 0; i < tensor.dim(); ++i) text << (i ? ", " : "") << tensor.size(i);
  text << "] on " << (tensor.is_cuda() ? "cuda" : tensor.is_cpu() ? "cpu" : "another device");
  return text.str() + (tensor.is_contiguous() ? "" : ", not contiguous");
}

// Throws (RuntimeError in Python) `op: argument is CAME; wanted WANTED` unless ok.
template <typename Came>
void require(bool ok, const char* op, const char* argument, const Came& came, const std::string& wanted) {
  if (ok) return;
  std::ostringstream text;
  text << op << ": " << argument << " is ";
  if constexpr (std::is_same_v<Came, Tensor>) {
    text << describe(came);
  } else {
    text << came;
  }
  throw std::runtime_error(text.str() + "; wanted " + wanted);
}

inline bool same_device(const Tensor& a, const Tensor& b) {
  return a.is_cuda() == b.is_cuda() && a.get_device_index() == b.get_device_index();
}

inline bool same_shape(const Tensor& a, const Tensor& b) {
  if (a.dim() != b.dim()) return false;
  for (int64_t i = 0; i < a.dim(); ++i)
    if (a.size(i) != b.size(i)) return false;
  return true;
}

// A contiguous tensor of this dtype with the shape and device of `like`.
inline void require_like(const char* op, const char* argument, const Tensor& tensor, const Tensor& like) {
  const bool ok = tensor.scalar_type() == like.scalar_type() && same_shape(tensor, like) && same_device(tensor, like) &&
                  tensor.is_contiguous();
  if (!ok) require(false, op, argument, tensor, describe(like) + ", contiguous");
}

template <typename T>
constexpr ScalarType scalar_type_of() {
  if constexpr (std::is_same_v<T, float>) return ScalarType::Float;
  if constexpr (std::is_same_v<T, double>) return ScalarType::Double;
  return ScalarType::Long;
}

// One number for all runs (a CPU tensor is read here and now) or [runs] beside `like`.
template <typename T>
PerRun<T> per_run(const char* op, const char* argument, const Tensor& value, int64_t runs, const Tensor& like) {
  const bool one = value.numel() == 1, by_value = one && value.is_cpu();
  const bool fits = by_value || (same_device(value, like) && (one || (value.dim() == 1 && value.size(0) == runs)));
  if (value.scalar_type() != scalar_type_of<T>() || !fits || !value.is_contiguous()) {
    const char* name = std::is_same_v<T, float> ? "float32" : std::is_same_v<T, double> ? "float64" : "int64";
    std::ostringstream wanted;
    wanted << name << " of one element or [" << runs << "] on " << (like.is_cuda() ? "cuda" : "cpu");
    require(false, op, argument, value, wanted.str());
  }
  const T* data = static_cast<const T*>(value.data_ptr());
  return by_value ? PerRun<T>{nullptr, 0, *data} : PerRun<T>{data, one ? 0 : 1, T{}};
}

// Runs backend::op(args, ...): on CUDA on the current stream of the tensor's device, on CPU over `count` units of work, at
// least `grain` to a thread of torch's own pool.
#ifdef PYSLSAC_CUDA
template <typename Args>
void launch(void (*kernel)(const Args&, void*), const Args& args, const Tensor& where, int64_t count, int64_t) {
  if (count == 0) return;
  const torch::stable::accelerator::DeviceGuard guard(where.get_device_index());
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(where.get_device_index(), &stream));
  kernel(args, stream);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}
#else
template <typename Args>
void launch(void (*kernel)(const Args&, int64_t, int64_t), const Args& args, const Tensor&, int64_t count, int64_t grain) {
  if (count == 0) return;
  torch::stable::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
}
#endif

}  // namespace pyslsac
