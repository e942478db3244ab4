// SPDX-License-Identifier: BSD-3-Clause
// Simulated cuBLAS and cuSOLVER: the module itself is the library that is opened.
#pragma once

#include <algorithm>
#include <cstddef>

#include "libraries/libraries.hpp"
#include "simulator/devices.hpp"

// A symbol that dlsym finds.
#define SIGMASCOPE_EXPORTED extern "C" __attribute__((visibility("default")))

namespace sigmascope::simulator {

// One of the numbers of a version, 10000 major + 100 minor + patch.
inline int part_of(int version, device::LibraryProperty property) {
  if (property == device::LibraryProperty::major) return version / 10000;
  return property == device::LibraryProperty::minor ? version / 100 % 100 : version % 100;
}

// Overwrites memory that a library may use as it likes.
inline void scribble(void* at, std::size_t bytes) {
  std::fill_n(static_cast<unsigned char*>(at), std::min(bytes, std::size_t{1} << 16),
              static_cast<unsigned char>(0xff));
}

}  // namespace sigmascope::simulator
