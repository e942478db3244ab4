// SPDX-License-Identifier: BSD-3-Clause
// Copies of large matrices in fp64, stored by columns, between the host and a device: a few MiB at
// a time pass through pinned memory.
#pragma once

#include <cstdint>

#include "matrix/small.hpp"
#include "memory/device_context.hpp"

namespace sigmascope::device {

DeviceBlock<double> sent_columns(DeviceContext& device, const Small& a);

// So many columns of a square matrix on the device, from the column `first` on.
Small received_columns(DeviceContext& device, const DeviceBlock<double>& a, std::int64_t first,
                       std::int64_t count);

}  // namespace sigmascope::device
