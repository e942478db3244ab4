// SPDX-License-Identifier: BSD-3-Clause
// Numbers of fp32 as sums of bf16 numbers, their parts, as tensor cores multiply them.
#pragma once

#include <cstdint>

#include "kernels/verbs.hpp"
#include "runtime/runtime.hpp"

namespace sigmascope::device {

// Columns and rows of the parts of a block are multiples of these, filled up with zeros.
inline constexpr std::int64_t parts_columns = 16, parts_rows = 32;
// Numbers of 16 bits in the 16 bytes that are copied at once.
inline constexpr std::int64_t codes_at_once = 8;
inline constexpr int most_parts = 3;

// The parts of a block of rows x cols numbers, each `columns` columns of `step` codes: element (k,
// j) of a part at part * step * columns + j * step + k.
struct BlockParts {
  std::uint16_t* codes = nullptr;
  int count = 0;
  std::int64_t rows = 0, cols = 0;
  std::int64_t step = 0, columns = 0;

  BlockParts() = default;
  BlockParts(int parts, std::int64_t block_rows, std::int64_t block_cols)
      : count(parts),
        rows(block_rows),
        cols(block_cols),
        step((rows + parts_rows - 1) / parts_rows * parts_rows),
        columns((cols + parts_columns - 1) / parts_columns * parts_columns) {}

  std::int64_t size() const { return count * step * columns; }
};

// factor x in so many parts; `factor` is a power of two.
cudaError_t split_block(BlockView<const float> x, float factor, const BlockParts& parts,
                        cudaStream_t stream);

// Rows of `step` numbers in bf16 each: of a panel rounded to bf16; and, unless it is null, `rest`
// of what was rounded away, in the same places.
struct Bf16Rows {
  std::uint16_t* codes = nullptr;
  std::uint16_t* rest = nullptr;
  std::int64_t step = 0;
};

// The parts of a panel of rows x cols numbers, filled up with zeros.
cudaError_t to_bf16(BlockView<const float> from, const Bf16Rows& to, cudaStream_t stream);

}  // namespace sigmascope::device
