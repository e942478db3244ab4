// SPDX-License-Identifier: BSD-3-Clause
// The layouts of blocks once more, decoded to the standard deviation of the rounding error of each
// number in place of the number. Where codes count evenly that is step / sqrt(12).
#pragma once

#include <string_view>

#include "kernels/encodings/block_layouts.hpp"

namespace sigmascope {

// Ending of the names of these layouts.
inline constexpr std::string_view errors_of = " errors";

// The layout for the errors of another one, by the name of that. Null for layouts with a codebook:
// words of four or eight numbers are rounded as a whole.
const BlockLayout* error_layout(std::string_view name);

}  // namespace sigmascope
