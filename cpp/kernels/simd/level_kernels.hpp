// SPDX-License-Identifier: BSD-3-Clause
// The part of the table that decodes numbers which are a scale times a small integer, their level,
// as block layouts of GGML have them. Every product is exact.
#pragma once

#include <cstdint>

namespace sigmascope {

struct LevelKernels {
  // The low halves of `count` bytes, then the high ones, are places of numbers in `levels`, which
  // are 16: out[j] = scale * levels[bytes[j] & 15], out[count + j] = scale * levels[bytes[j] >> 4].
  // `count` is 8 or 16.
  void (*of_halves)(const std::uint8_t* bytes, const std::int8_t* levels, float scale, int count,
                    float* out);
  // out[j] = scale * levels[j] for 16 or 32 numbers, negated where bit j of `signs` is set.
  void (*with_signs)(const std::int8_t* levels, std::uint32_t signs, float scale, int count,
                     float* out);
};

}  // namespace sigmascope
