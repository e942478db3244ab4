// SPDX-License-Identifier: BSD-3-Clause
// Memory of a Gram matrix on a device.
#pragma once

#include <cstdint>

namespace sigmascope::device {

// Bytes of the device that A^T A of so many rows takes, by cuBLAS or by the kernel of products, in
// addition to the n x n matrix and the panels.
std::int64_t gram_bytes(std::int64_t rows, std::int64_t n, bool by_cublas);

}  // namespace sigmascope::device
