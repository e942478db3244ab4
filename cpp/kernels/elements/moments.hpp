// SPDX-License-Identifier: BSD-3-Clause
// Statistics of every element of a matrix, its rows and its columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/blocks/cpu.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/matrix.hpp"

namespace sigmascope {

struct ElementMoments {
  Stretch all{};
  std::int64_t first_row = -1, first_col = -1;  // the first NaN or infinity, in the order of rows
  std::vector<double> row_squares, col_squares;
  // Count of each code, if all tiles have one dtype of 8 or 16 bits; else empty.
  std::vector<std::int64_t> code_counts;
};

// The stored codes that are counted.
enum class CodeCounts { none, all };

// Number of codes that are counted: of 16 or 8 bits, if all tiles have one dtype of these; else 0.
std::size_t countable_codes(const Matrix& a);

// The sums of groups of rows, which are added in the order of the rows and merged as a tree. Merged
// in order, the mean of 10^7 rows was off by 1e-12.
class GroupTree {
 public:
  void add(RowGroup group);
  RowGroup sum() const;

 private:
  std::vector<std::optional<RowGroup>> levels_;  // of 1, 2, 4, ... groups; the last rows first
};

// Sets the sums of all elements, from those of groups and from `row_squares`.
void set_sums(ElementMoments& moments, const GroupTree& groups);

ElementMoments moments(Cpu& cpu, const Matrix& a, CodeCounts counted);

}  // namespace sigmascope
