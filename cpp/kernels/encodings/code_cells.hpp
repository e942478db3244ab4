// SPDX-License-Identifier: BSD-3-Clause
// Standard deviations of the rounding errors of codes. A number is rounded to the nearest number
// of a table, so that those of one code lie between the midpoints to its neighbours; they are
// taken to lie evenly there. The cell of an outermost code is as wide outside as inside.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "matrix/sizes.hpp"

namespace sigmascope {

// Of a cell that reaches from -below to above: sqrt((a^3 + b^3) / (3 (a + b))).
inline double cell_deviation(double below, double above) {
  return std::sqrt((below * below - below * above + above * above) / 3);
}

// The deviation of each code of a table of numbers; 0 if all numbers are the same. Codes of equal
// numbers share a cell.
inline std::vector<float> code_deviations(const std::vector<float>& table) {
  std::vector<float> levels = table;
  std::sort(levels.begin(), levels.end());
  levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
  std::vector<float> deviations(table.size(), 0);
  if (levels.size() < 2) return deviations;
  for (std::size_t k = 0; k < table.size(); ++k) {
    const auto at = std::lower_bound(levels.begin(), levels.end(), table[k]);
    const bool least = at == levels.begin(), most = at + 1 == levels.end();
    const double below = least ? 0 : (double{*at} - *(at - 1)) / 2,
                 above = most ? 0 : (double{*(at + 1)} - *at) / 2;
    deviations[k] = static_cast<float>(cell_deviation(least ? above : below, most ? below : above));
  }
  return deviations;
}

}  // namespace sigmascope
