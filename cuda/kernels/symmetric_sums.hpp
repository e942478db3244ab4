// SPDX-License-Identifier: BSD-3-Clause
// Sums over a symmetric matrix on a device, by which its eigenvalues are checked.
#pragma once

#include <cstdint>

#include "runtime/runtime.hpp"

namespace sigmascope::device {

// Of each column j of the lower triangle of a matrix of order n, by columns: its element on the
// diagonal to sums[2 j], and its share of the squared Frobenius norm to sums[2 j + 1]. An element
// below the diagonal counts twice.
cudaError_t sum_columns(const double* a, std::int64_t n, double* sums, cudaStream_t stream);

}  // namespace sigmascope::device
