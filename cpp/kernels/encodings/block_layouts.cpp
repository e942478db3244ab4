// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/encodings/block_layouts.hpp"

#include <array>
#include <stdexcept>
#include <string>

#include "kernels/encodings/codebook_blocks.hpp"
#include "kernels/encodings/small_blocks.hpp"
#include "kernels/encodings/super_blocks.hpp"

namespace sigmascope {

namespace {

template <class Block>
void decode_blocks(const std::uint8_t* blocks, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i)
    Block::decode(blocks + i * Block::bytes, out + i * Block::elements);
}

template <class Block>
constexpr BlockLayout layout(std::string_view name) {
  return {name, Block::elements, Block::bytes, &decode_blocks<Block>};
}

constexpr std::array table{
    layout<Q4_0>("q4_0"),     layout<Q4_1>("q4_1"),     layout<Q5_0>("q5_0"),
    layout<Q5_1>("q5_1"),     layout<Q8_0>("q8_0"),     layout<IQ4_NL>("iq4_nl"),
    layout<MXFP4>("mxfp4"),   layout<NVFP4>("nvfp4"),   layout<TQ1_0>("tq1_0"),
    layout<TQ2_0>("tq2_0"),   layout<Q2_K>("q2_k"),     layout<Q3_K>("q3_k"),
    layout<Q4_K>("q4_k"),     layout<Q5_K>("q5_k"),     layout<Q6_K>("q6_k"),
    layout<Q8_K>("q8_k"),     layout<IQ4_XS>("iq4_xs"), layout<IQ2_XXS>("iq2_xxs"),
    layout<IQ2_XS>("iq2_xs"), layout<IQ2_S>("iq2_s"),   layout<IQ3_XXS>("iq3_xxs"),
    layout<IQ3_S>("iq3_s"),   layout<IQ1_S>("iq1_s"),   layout<IQ1_M>("iq1_m"),
};

}  // namespace

std::span<const BlockLayout> block_layouts() { return table; }

const BlockLayout& block_layout(std::string_view name) {
  std::string known;
  for (const BlockLayout& layout : table) {
    if (layout.name == name) return layout;
    known += ' ' + std::string(layout.name);
  }
  throw std::invalid_argument("unknown block layout '" + std::string(name) + "'; known:" + known);
}

}  // namespace sigmascope
