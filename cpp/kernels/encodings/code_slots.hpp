// SPDX-License-Identifier: BSD-3-Clause
// Codes within the words of a pack.
#pragma once

#include <cstdint>

#include "kernels/encodings/block_codes.hpp"

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

}  // namespace sigmascope
