// SPDX-License-Identifier: BSD-3-Clause
// A block as an operand of products by tiles.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/blocks/block.hpp"
#include "kernels/simd/isa.hpp"

namespace sigmascope {

// The left or right operand in parts of bf16: column tile after column tile, step after step, part
// after part.
struct PackedBlock {
  std::int64_t steps = 0;
  int parts = 1;
  AlignedArray<std::uint16_t> codes;

  PackedBlock() = default;
  PackedBlock(std::int64_t rows, std::int64_t width, int p)
      : steps(chunks(rows, tile_depth)),
        parts(p),
        codes(aligned_array<std::uint16_t>(steps * tile_depth * width * parts)) {}

  // Its first `used` steps.
  TileOperand operand(std::int64_t used) const {
    constexpr std::int64_t bytes = 2 * tile_codes;
    return {.data = reinterpret_cast<const std::byte*>(codes.get()),
            .stride = 2 * tile_depth,
            .tile = used * parts * bytes,
            .step = parts * bytes,
            .part = bytes,
            .parts = parts};
  }
};

}  // namespace sigmascope
