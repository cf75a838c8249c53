// pyslsac._C: facts about this build, and the normals for NumPy users without torch.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "../philox.h"

namespace py = pybind11;

namespace {

const char* simd_level() {
#ifdef __x86_64__
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return "AVX512";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "AVX2";
#endif
  return "baseline";
}

py::dict build_info() {
  py::dict info;
  info["version"] = PYSLSAC_VERSION;
  info["compiler"] = PYSLSAC_COMPILER;
  info["flags"] = PYSLSAC_FLAGS;
  info["simd"] = simd_level();
  info["cuda_version"] = PYSLSAC_CUDA_VERSION;
  info["cuda_architectures"] = PYSLSAC_CUDA_ARCHITECTURES;
  info["torch_target"] = PYSLSAC_TORCH_TARGET;
  return info;
}

py::array_t<float> philox_normal(int64_t count, uint64_t seed, uint64_t step, uint32_t stream, int64_t first) {
  if (count < 0 || first < 0 || count > pyslsac::kPhiloxElements - first)
    throw py::value_error("philox_normal: elements first .. first + count must lie in 0 .. 2^34");
  py::array_t<float> normal(count);
  float* data = normal.mutable_data();
  py::gil_scoped_release unlocked;
  pyslsac::philox_normal_fill(data, count, first, seed, step, stream);
  return normal;
}

}  // namespace

PYBIND11_MODULE(_C, module) {
  module.doc() = "Build facts and NumPy helpers of pyslsac's compiled core.";
  module.def("build_info", &build_info, "What this build was made of and which SIMD level this machine runs.");
  module.def("philox_normal", &philox_normal, py::arg("count"), py::arg("seed") = 0, py::arg("step") = 0,
             py::arg("stream") = 0, py::arg("first") = 0,
             "Standard normals as a float32 NumPy array: the bits of pyslsac.ops.philox_normal.");
}
