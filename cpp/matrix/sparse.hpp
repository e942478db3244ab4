// SPDX-License-Identifier: BSD-3-Clause
// A matrix of few entries that are not zero, in the order of rows, then of columns.
#pragma once

#include <cstdint>
#include <vector>

namespace sigmascope {

struct Sparse {
  std::vector<std::int64_t> first;  // entry of each row, and the end
  std::vector<std::uint32_t> rows, cols;
  std::vector<float> values;

  std::int64_t size() const { return static_cast<std::int64_t>(values.size()); }
};

}  // namespace sigmascope
