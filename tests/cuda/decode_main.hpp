// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include "kernels/simd/isa.hpp"
#include "runtime/handles.hpp"

namespace sigmascope {

extern const Isa isa_avx2;

}  // namespace sigmascope

// The processor's kernels that the device is compared with.
const sigmascope::Isa& cpu_kernels();

// Surveys random panels on the device and on the CPU, and says where the results differ.
bool same_surveys(std::uint64_t seed, int cases, const sigmascope::device::Stream& stream);
