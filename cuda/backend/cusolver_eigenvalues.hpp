// SPDX-License-Identifier: BSD-3-Clause
// Eigenvalues and eigenvectors of a symmetric matrix on a device, by cuSOLVER.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "matrix/small.hpp"
#include "memory/device_context.hpp"

namespace sigmascope::device {

// Least order for which a device is used: below, the processor is as fast.
inline constexpr std::int64_t least_cusolver_order = 1024;

// Ascending, of the lower triangle, by columns, of a matrix on the device, which is overwritten.
// Throws DeviceError where cuSOLVER fails, or where the sum of the values or of their squares shows
// that they are wrong. Copied to the host are 3 n numbers.
std::vector<double> cusolver_eigenvalues(DeviceContext& device, const std::string& path,
                                         DeviceBlock<double>& a);

// The k largest, descending, and their vectors, which the caller has to check: their residuals are
// products with the matrix, which is overwritten. Copied to the host are (k + 3) n numbers.
EigenPairs cusolver_eigenpairs(DeviceContext& device, const std::string& path,
                               DeviceBlock<double>& a, std::int64_t k);

// Bytes of a device that this takes in addition to the matrix of order n; 0 below the least order.
std::int64_t cusolver_bytes(int index, const std::string& path, std::int64_t n, bool vectors);

}  // namespace sigmascope::device
