// The checks of every binding: their messages name op, argument, what came and what was wanted.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <sstream>
#include <stdexcept>
#include <string>

#include "../platform.h"
#include "launch.h"

namespace pyslsac {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline const char* name_of(ScalarType type) {
  switch (type) {
    case ScalarType::Float: return "float32";
    case ScalarType::Double: return "float64";
    case ScalarType::BFloat16: return "bfloat16";
    case ScalarType::Half: return "float16";
    case ScalarType::Int: return "int32";
    case ScalarType::Long: return "int64";
    default: return "another dtype";
  }
}

inline std::string describe(const Tensor& tensor) {
  std::ostringstream text;
  text << name_of(tensor.scalar_type()) << " [";
  for (int64_t i = 0; i < tensor.dim(); ++i) text << (i ? ", " : "") << tensor.size(i);
  text << "] on " << (tensor.is_cuda() ? "cuda" : tensor.is_cpu() ? "cpu" : "another device");
  return text.str() + (tensor.is_contiguous() ? "" : ", not contiguous");
}

// Throws (RuntimeError in Python) `op: argument is CAME; wanted WANTED` unless ok.
template <typename Came, typename Wanted>
void require(bool ok, const char* op, const char* argument, const Came& came, const Wanted& wanted) {
  if (ok) return;
  std::ostringstream text;
  text << op << ": " << argument << " is ";
  if constexpr (std::is_same_v<Came, Tensor>)
    text << describe(came);
  else
    text << came;
  text << "; wanted " << wanted;
  throw std::runtime_error(text.str());
}

inline bool same_device(const Tensor& a, const Tensor& b) {
  return a.is_cuda() == b.is_cuda() && a.get_device_index() == b.get_device_index();
}

inline bool same_shape(const Tensor& a, const Tensor& b) { return a.sizes().equals(b.sizes()); }

// A contiguous tensor of this dtype with the shape and device of `like`.
inline void require_like(const char* op, const char* argument, const Tensor& tensor, const Tensor& like) {
  const bool ok = tensor.scalar_type() == like.scalar_type() && same_shape(tensor, like) && same_device(tensor, like) &&
                  tensor.is_contiguous();
  if (!ok) require(false, op, argument, tensor, describe(like) + ", contiguous");
}

// One number for all runs (a CPU tensor is read here and now) or [runs] beside `like`.
template <typename T>
PerRun<T> per_run(const char* op, const char* argument, const Tensor& value, int64_t runs, const Tensor& like) {
  constexpr ScalarType type = torch::headeronly::CppTypeToScalarType<T>::value;
  const bool one = value.numel() == 1, by_value = one && value.is_cpu();
  const bool fits = by_value || (same_device(value, like) && (one || (value.dim() == 1 && value.size(0) == runs)));
  if (value.scalar_type() != type || !fits || !value.is_contiguous())
    require(
        false, op, argument, value,
        name_of(type) + (" of one element or [" + std::to_string(runs)) + "] on " + (like.is_cuda() ? "cuda" : "cpu"));
  const T* data = static_cast<const T*>(value.const_data_ptr());
  return by_value ? PerRun<T>{nullptr, 0, *data} : PerRun<T>{data, one ? 0 : 1, T{}};
}

}  // namespace pyslsac
