// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/encodings/block_errors.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/encodings/code_cells.hpp"
#include "kernels/encodings/small_blocks.hpp"
#include "kernels/encodings/super_blocks.hpp"

namespace sigmascope {

namespace {

// Bytes [first, last) of a block, which get one value.
struct Fill {
  int first, last;
  std::uint8_t value;
};

// The numbers of a block whose codes all are that of the number 1 and whose minima are 0: the scale
// of each element.
template <class Block, Fill... fills>
void decode_scales(const std::uint8_t* block, float* out) {
  std::array<std::uint8_t, Block::bytes> one;
  std::copy_n(block, Block::bytes, one.begin());
  (std::fill(one.begin() + fills.first, one.begin() + fills.last, fills.value), ...);
  Block::decode(one.data(), out);
}

template <class Block, Fill... fills>
void decode_even(const std::uint8_t* blocks, std::int64_t count, float* out) {
  const float deviation = 1 / std::sqrt(12.0F);
  for (; count > 0; --count, blocks += Block::bytes, out += Block::elements) {
    decode_scales<Block, fills...>(blocks, out);
    for (std::int64_t j = 0; j < Block::elements; ++j) out[j] = std::abs(out[j]) * deviation;
  }
}

// Deviations by level, which is a small integer.
constexpr int most_level = 127;
using ByLevel = std::array<float, 2 * most_level + 1>;
ByLevel by_level(const std::array<std::int8_t, 16>& levels) {
  const std::vector<float> table(levels.begin(), levels.end());
  const std::vector<float> deviations = code_deviations(table);
  ByLevel by_level{};
  for (std::size_t k = 0; k < levels.size(); ++k)
    by_level[as_size(levels[k] + most_level)] = deviations[k];
  return by_level;
}

// A number is an exact product of a scale and a level, so that their quotient is the level.
template <class Block, const std::array<std::int8_t, 16>& levels, Fill fill>
void decode_uneven(const std::uint8_t* blocks, std::int64_t count, float* out) {
  static const ByLevel deviations = by_level(levels);
  std::array<float, Block::elements> scales;
  for (; count > 0; --count, blocks += Block::bytes, out += Block::elements) {
    decode_scales<Block, fill>(blocks, scales.data());
    Block::decode(blocks, out);
    for (std::size_t j = 0; j < scales.size(); ++j) {
      const float scale = scales[j], level = scale == 0 ? 0 : out[j] / scale;
      const bool known = std::abs(level) <= most_level;  // not of scales that are NaN or infinite
      out[j] = known ? std::abs(scale) * deviations[as_size(static_cast<int>(level) + most_level)]
                     : std::abs(out[j]);
    }
  }
}

template <class Block, Fill... fills>
constexpr BlockLayout even(std::string_view name) {
  return {name, Block::elements, Block::bytes, &decode_even<Block, fills...>};
}

template <class Block, const std::array<std::int8_t, 16>& levels, Fill fill>
constexpr BlockLayout uneven(std::string_view name) {
  return {name, Block::elements, Block::bytes, &decode_uneven<Block, levels, fill>};
}

constexpr std::array table{
    even<Q4_0, Fill{2, 18, 0x99}>("q4_0 errors"),
    even<Q4_1, Fill{2, 4, 0}, Fill{4, 20, 0x11}>("q4_1 errors"),
    even<Q5_0, Fill{2, 6, 0xff}, Fill{6, 22, 0x11}>("q5_0 errors"),
    even<Q5_1, Fill{2, 8, 0}, Fill{8, 24, 0x11}>("q5_1 errors"),
    even<Q8_0, Fill{2, 34, 1}>("q8_0 errors"),
    even<TQ1_0, Fill{0, 52, 0xff}>("tq1_0 errors"),
    even<TQ2_0, Fill{0, 64, 0xaa}>("tq2_0 errors"),
    even<Q2_K, Fill{82, 84, 0}, Fill{16, 80, 0x55}>("q2_k errors"),
    even<Q3_K, Fill{0, 32, 0xff}, Fill{32, 96, 0x55}>("q3_k errors"),
    even<Q4_K, Fill{2, 4, 0}, Fill{16, 144, 0x11}>("q4_k errors"),
    even<Q5_K, Fill{2, 4, 0}, Fill{16, 48, 0}, Fill{48, 176, 0x11}>("q5_k errors"),
    even<Q6_K, Fill{0, 128, 0x11}, Fill{128, 192, 0xaa}>("q6_k errors"),
    even<Q8_K, Fill{4, 260, 1}>("q8_k errors"),
    uneven<IQ4_NL, uneven_levels, Fill{2, 18, 0x88}>("iq4_nl errors"),
    uneven<IQ4_XS, uneven_levels, Fill{8, 136, 0x88}>("iq4_xs errors"),
    uneven<MXFP4, e2m1_levels, Fill{1, 17, 0x11}>("mxfp4 errors"),
    uneven<NVFP4, e2m1_levels, Fill{4, 36, 0x11}>("nvfp4 errors"),
};

}  // namespace

const BlockLayout* error_layout(std::string_view name) {
  for (const BlockLayout& layout : table)
    if (layout.name.substr(0, layout.name.size() - errors_of.size()) == name) return &layout;
  return nullptr;
}

}  // namespace sigmascope
