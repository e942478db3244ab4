// SPDX-License-Identifier: BSD-3-Clause
// Options of one call that computes on a device.
#pragma once

#include <cstdint>

#include "libraries/libraries.hpp"

namespace sigmascope::device {

struct DeviceOptions {
  int index = 0;
  // Most bytes of a matrix that stay on the device from pass to pass.
  std::int64_t stored_bytes = 0;
  // Bytes of the device that the call is to take in all; 0: not planned.
  std::int64_t planned_bytes = 0;
  LibraryPaths libraries{};
};

}  // namespace sigmascope::device
