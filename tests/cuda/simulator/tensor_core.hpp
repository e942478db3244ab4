// SPDX-License-Identifier: BSD-3-Clause
// The sum that a tensor core makes of products of bf16 numbers.
#pragma once

#include <array>

#include "simulator/settings.hpp"

namespace sigmascope::simulator {

constexpr int mma_depth = 16;

using Terms = std::array<double, mma_depth>;

// `sum` + the products of left and right, rounded as the core rounds.
float tensor_core_sum(const TensorCore& core, float sum, const Terms& left, const Terms& right);

}  // namespace sigmascope::simulator
