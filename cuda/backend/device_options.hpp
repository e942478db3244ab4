// SPDX-License-Identifier: BSD-3-Clause
// Options of one call that computes on a device.
#pragma once

#include <cstdint>

#include "libraries/libraries.hpp"
#include "panels/decoded_panels.hpp"

namespace sigmascope::device {

struct DeviceOptions {
  int index = 0;
  StayingBytes staying{};
  // Bytes of the device that the call is to take in all; 0: not planned.
  std::int64_t planned_bytes = 0;
  // Most numbers of a panel, unless the caller asks for rows.
  std::int64_t panel_numbers = least_panel_numbers;
  LibraryPaths libraries{};
};

}  // namespace sigmascope::device
