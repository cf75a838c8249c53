#include "../philox_normal.h"

#include <algorithm>
#include <cstring>

namespace pyslsac {

namespace {

constexpr int64_t kTile = 64;  // blocks: 1 KB of normals

// Words and normals as structures of arrays, one short loop each, so that the compiler vectorises across blocks.
SIMD_CLONES void fill_tile(float* out, int64_t blocks, uint32_t block, uint64_t seed, uint64_t step, uint32_t stream) {
  for (int64_t i = 0; i < blocks; ++i)
    philox_normal4(seed, step, stream, block + static_cast<uint32_t>(i), out + 4 * i);
}

}  // namespace

void philox_normal_fill(float* normal, int64_t count, int64_t first, uint64_t seed, uint64_t step, uint32_t stream) {
  alignas(64) float tile[4 * kTile];
  while (count > 0) {
    const int64_t skip = first & 3, blocks = std::min(kTile, (skip + count + 3) / 4);
    const int64_t fresh = std::min(count, 4 * blocks - skip);
    const bool direct = fresh == 4 * blocks;
    fill_tile(direct ? normal : tile, blocks, static_cast<uint32_t>(first >> 2), seed, step, stream);
    if (!direct) std::memcpy(normal, tile + skip, fresh * sizeof(float));
    normal += fresh, first += fresh, count -= fresh;
  }
}

namespace cpu {

void philox_normal(const PhiloxNormal& args, int64_t begin, int64_t end) {
  const uint64_t step = static_cast<uint64_t>(args.step[0]);
  while (begin < end) {
    const int64_t run = begin / args.elements, element = begin % args.elements;
    const int64_t count = std::min(end - begin, args.elements - element);
    philox_normal_fill(args.out + begin, count, args.first + element, args.seed[run], step, args.stream);
    begin += count;
  }
}

}  // namespace cpu
}  // namespace pyslsac
