#include "../philox_integers.h"

namespace pyslsac::cpu {

void philox_integers(const PhiloxIntegers& args, int64_t begin, int64_t end) {
  const uint64_t step = static_cast<uint64_t>(args.step[0]), high = static_cast<uint64_t>(args.high[0]);
  for (int64_t i = begin; i < end;) {
    const int64_t run = i / args.elements, element = i % args.elements;
    uint32_t word[4];
    philox_words(static_cast<uint64_t>(args.seed[run]), step, args.stream, static_cast<uint32_t>(element / 2), word);
    if (element % 2 == 0) args.out[i++] = scaled_word(word[0], word[1], high);
    const bool second = element % 2 == 1 || element + 1 < args.elements;
    if (second && i < end) args.out[i++] = scaled_word(word[2], word[3], high);
  }
}

}  // namespace pyslsac::cpu
