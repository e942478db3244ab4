// SPDX-License-Identifier: BSD-3-Clause
// Eigenvalues of a symmetric matrix on a device, by cuSOLVER.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device_context.hpp"
#include "matrix/small.hpp"

namespace sigmascope::device {

// Least order for which a device is used: below, the processor is as fast.
inline constexpr std::int64_t least_cusolver_order = 1024;

// Ascending, of the lower triangle. Throws DeviceError where cuSOLVER fails, or where the sum of
// the values or of their squares shows that they are wrong.
std::vector<double> cusolver_eigenvalues(DeviceContext& device, const std::string& path,
                                         const Small& a);

// Bytes of a device that this takes in addition to the matrix of order n; 0 below the least order.
std::int64_t cusolver_bytes(int index, const std::string& path, std::int64_t n);

}  // namespace sigmascope::device
