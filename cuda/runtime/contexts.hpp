// SPDX-License-Identifier: BSD-3-Clause
// Contexts of devices in this process. One takes about half a gigabyte of the device's memory.
#pragma once

namespace sigmascope::device {

// Whether the device has a context already. The question makes none.
bool has_context(int device) noexcept;

}  // namespace sigmascope::device
