// The body of fill_tile for one instruction set: included by philox_normal.cpp inside a namespace that has Lanes
// (kLanes numbers of 64 bits, of which the lower 32 count) and multiply, upper, exclusive_or, spread, ramp and store
// for them. A multiplication of 32-bit numbers into 64 bits is one instruction there, which no compiler finds in the
// plain loop.

[[maybe_unused]] void fill_tile(float* out, int64_t blocks, uint32_t block, uint64_t seed, uint64_t step,
                                uint32_t stream) {
  constexpr int kPair = 2;  // independent chains, to keep the multipliers busy
  alignas(64) uint32_t word[4][kTile];
  for (int64_t first = 0; first < blocks; first += kPair * kLanes) {
    Lanes x[kPair], y[kPair], z[kPair], w[kPair];
    for (int i = 0; i < kPair; ++i) {
      x[i] = ramp(block + static_cast<uint32_t>(first + i * kLanes));
      y[i] = spread(static_cast<uint32_t>(step)), z[i] = spread(step >> 32), w[i] = spread(stream);
    }
    uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
    UNROLL
    for (int round = 0; round < 10; ++round) {
      for (int i = 0; i < kPair; ++i) {
        const Lanes p = multiply(x[i], spread(0xD2511F53)), q = multiply(z[i], spread(0xCD9E8D57));
        x[i] = exclusive_or(upper(q), y[i], spread(key0)), y[i] = q;
        z[i] = exclusive_or(upper(p), w[i], spread(key1)), w[i] = p;
      }
      key0 += 0x9E3779B9, key1 += 0xBB67AE85;
    }
    for (int i = 0; i < kPair; ++i) {
      const int64_t at = first + i * kLanes;
      store(word[0] + at, x[i]), store(word[1] + at, y[i]), store(word[2] + at, z[i]), store(word[3] + at, w[i]);
    }
  }
  for (int64_t i = 0; i < blocks; ++i) {
    box_muller(word[0][i], word[1][i], out + 4 * i, out + 4 * i + 1);
    box_muller(word[2][i], word[3][i], out + 4 * i + 2, out + 4 * i + 3);
  }
}
