// philox_normal: standard normals for every element of out [R, P]; elements count from `first` inside each run.
#pragma once

#include <cstdint>

#include "philox.h"

namespace pyslsac {

struct PhiloxNormal {
  float* out;            // [R, P]
  int64_t runs;          // R
  int64_t elements;      // P
  int64_t first;         // number of the first element of a run
  PerRun<int64_t> seed;  // [R] or one
  PerRun<int64_t> step;  // one
  uint32_t stream;
};

namespace cpu {
constexpr int64_t kPhiloxChunk = 4096;                                     // elements of one unit of work
void philox_normal(const PhiloxNormal& args, int64_t begin, int64_t end);  // elements begin .. end - 1 of out, flat
}  // namespace cpu

namespace cuda {
void philox_normal(const PhiloxNormal& args, void* stream);
}  // namespace cuda

}  // namespace pyslsac
