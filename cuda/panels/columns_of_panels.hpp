// SPDX-License-Identifier: BSD-3-Clause
// Columns of a matrix whose rows are on a device, where they are.
#pragma once

#include <cstdint>
#include <vector>

#include "panels/stored_panel.hpp"

namespace sigmascope::device {

// Columns [col0, col0 + cols) of all rows. `rows`: the panels of the whole matrix, in their order.
StoredPanel columns_of(const std::vector<StoredPanel>& rows, std::int64_t col0, std::int64_t cols);

}  // namespace sigmascope::device
