// SPDX-License-Identifier: BSD-3-Clause
// Copies and fills in the order of a stream. Recorded ones of few bytes are kernels, which a batch
// starts for all its matrices at once: they read and write pinned memory where it is.
#pragma once

#include <cstddef>

#include "runtime/runtime.hpp"

namespace sigmascope::device {

cudaError_t copy_bytes(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                       cudaStream_t stream);

// Sets every byte to the low 8 bits of `value`.
cudaError_t set_bytes(void* at, int value, std::size_t bytes, cudaStream_t stream);

}  // namespace sigmascope::device
