// philox_integers: integers uniform on 0 .. high - 1 for every element of out [R, P]; elements count from 0 inside each
// run, two of them to a block of Philox words.
#pragma once

#include "philox.h"

namespace pyslsac {

constexpr int64_t kPhiloxHigh = int64_t{1} << 31;         // the most that `high` may be
constexpr int64_t kPhiloxIntegers = kPhiloxElements / 2;  // of one (seed, step, stream)

struct PhiloxIntegers {
  int64_t* out;          // [R, P]
  int64_t runs;          // R
  int64_t elements;      // P
  PerRun<int64_t> seed;  // [R] or one
  PerRun<int64_t> step;  // one
  PerRun<int64_t> high;  // one
  uint32_t stream;
};

// floor(w high / 2^64) for the word w = 2^32 upper + lower of 64 bits; exact for high <= 2^31.
HOST_DEVICE int64_t scaled_word(uint32_t upper, uint32_t lower, uint64_t high) {
  return static_cast<int64_t>((upper * high + ((lower * high) >> 32)) >> 32);
}

namespace cpu {
void philox_integers(const PhiloxIntegers& args, int64_t begin, int64_t end);  // elements begin .. end - 1, flat
}  // namespace cpu

namespace cuda {
void philox_integers(const PhiloxIntegers& args, void* stream);
}  // namespace cuda

}  // namespace pyslsac
