// SPDX-License-Identifier: BSD-3-Clause
// Extents and indices are std::int64_t; the standard library counts in std::size_t.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sigmascope {

constexpr std::size_t as_size(std::int64_t n) { return static_cast<std::size_t>(n); }

}  // namespace sigmascope
