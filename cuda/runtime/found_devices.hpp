// SPDX-License-Identifier: BSD-3-Clause
// The CUDA devices of this machine, or the reason why there is none.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

namespace sigmascope::device {

// There is no such device that can be used; the message says what there is and what is needed.
class DeviceError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// 1000 major + 10 minor, as CUDA gives them. The driver's is the newest CUDA that it can run, and 0
// where there is no driver.
struct Versions {
  int driver, runtime;
};
Versions versions();
std::string version_text(int version);  // 13000: "13.0"

struct Found {
  int index = 0;
  std::string name;
  int major = 0, minor = 0;  // compute capability
  std::size_t memory = 0;
  int multiprocessors = 0;
};

// Throws DeviceError if there is none. Takes no memory of a device.
std::vector<Found> found_devices();

// Indices of the devices that the kernels are compiled for. Throws DeviceError if there is none.
// Takes no memory of a device.
std::vector<int> usable_devices();

// Free bytes of a device, which takes some of them: CUDA tells only a process that has a context
// there. Throws DeviceError if the device is not there or cannot be used.
std::size_t free_memory(int index);

}  // namespace sigmascope::device
