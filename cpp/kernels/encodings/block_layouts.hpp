// SPDX-License-Identifier: BSD-3-Clause
// The block layouts of GGML: a row is a sequence of blocks, each of so many elements in so many
// bytes, with scales of its own. The numbers are those of ggml's `dequantize_row` functions to the
// bit: every product of scales and codes is exact in fp32, so that one rounding is left, that of
// the sum of a scaled code and a minimum, and it does not matter whether that is a fused step.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace sigmascope {

struct BlockLayout {
  std::string_view name;  // of ggml, in small letters
  std::int64_t elements;
  std::int64_t bytes;
  // So many blocks that follow each other.
  void (*decode)(const std::uint8_t* blocks, std::int64_t count, float* out);
};

std::span<const BlockLayout> block_layouts();

// Throws std::invalid_argument that lists the known names.
const BlockLayout& block_layout(std::string_view name);

}  // namespace sigmascope
