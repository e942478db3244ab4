// SPDX-License-Identifier: BSD-3-Clause
// The two steps from packed words to numbers: codes of one byte each, and their numbers. Loops are
// such that compilers make vectors of them.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "kernels/encodings/block_codes.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// Place of a code in the words of its pack, in bytes. `high` is the place of the word with the
// bits that the first one does not hold, or -1.
struct CodeSlot {
  std::int64_t low, high;
  int shift;
};

template <class Word>
inline std::uint8_t code_at(const std::uint8_t* pack, const CodeSlot& slot, unsigned mask) {
  std::uint32_t bits = std::uint32_t{load<Word>(pack + slot.low)} >> slot.shift;
  if (slot.high >= 0)
    bits |= std::uint32_t{load<Word>(pack + slot.high)}
            << (8 * static_cast<int>(sizeof(Word)) - slot.shift);
  return static_cast<std::uint8_t>(bits & mask);
}

// One code out of each of `count` packs that stand next to each other.
template <class Word>
void codes_across(const std::uint8_t* low, const std::uint8_t* high, int shift, unsigned mask,
                  std::int64_t count, std::uint8_t* __restrict codes) {
  constexpr std::int64_t size = sizeof(Word);
  const int rest = 8 * static_cast<int>(size) - shift;
  if (high == nullptr) {
    for (std::int64_t j = 0; j < count; ++j)
      codes[j] =
          static_cast<std::uint8_t>(std::uint32_t{load<Word>(low + j * size)} >> shift & mask);
    return;
  }
  for (std::int64_t j = 0; j < count; ++j)
    codes[j] = static_cast<std::uint8_t>((std::uint32_t{load<Word>(low + j * size)} >> shift |
                                          std::uint32_t{load<Word>(high + j * size)} << rest) &
                                         mask);
}

// Two codes of each byte, `first` the shift of the first one.
inline void codes_of_halves(const std::uint8_t* __restrict bytes, int first, std::int64_t count,
                            std::uint8_t* __restrict codes) {
  if (first == 0) {
    for (std::int64_t i = 0; i < count; ++i)
      codes[2 * i] = bytes[i] & 15, codes[2 * i + 1] = bytes[i] >> 4;
  } else {
    for (std::int64_t i = 0; i < count; ++i)
      codes[2 * i] = bytes[i] >> 4, codes[2 * i + 1] = bytes[i] & 15;
  }
}

// The numbers of codes. Where a table counts up by one, a sum takes its place, which is exact.
class CodeNumbers {
 public:
  explicit CodeNumbers(const std::vector<float>& table) : table_(table.data()), least_(table[0]) {
    counts_ = least_ >= -256 && least_ <= 256;
    for (std::size_t k = 0; k < table.size(); ++k)
      counts_ = counts_ && std::bit_cast<std::uint32_t>(table[k]) ==
                               std::bit_cast<std::uint32_t>(static_cast<float>(k) + least_);
  }

  // out[j] = finish(number of codes[j], j)
  template <class Finish>
  void each(const std::uint8_t* __restrict codes, std::int64_t count, float* __restrict out,
            const Finish& finish) const {
    if (counts_) {
      const float least = least_;
      for (std::int64_t j = 0; j < count; ++j)
        out[j] = finish(static_cast<float>(codes[j]) + least, j);
    } else {
      const float* table = table_;
      for (std::int64_t j = 0; j < count; ++j) out[j] = finish(table[codes[j]], j);
    }
  }

 private:
  const float* table_;
  float least_;
  bool counts_;
};

}  // namespace sigmascope
