// SPDX-License-Identifier: BSD-3-Clause
// The CUDA devices of this machine, or the reason why there is none.
#pragma once

#include <cstddef>
#include <optional>
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
  std::optional<std::size_t> free_memory;  // nothing if it is not asked for, or cannot be had
  int multiprocessors = 0;
};

// Throws DeviceError if there is none. To measure the free memory takes some of every device, since
// CUDA tells it only to a process that has a context there.
std::vector<Found> found_devices(bool free_memory);

// Indices of the devices that the kernels are compiled for. Throws DeviceError if there is none.
// Takes no memory of a device.
std::vector<int> usable_devices();

// Makes it the device of this thread. Throws DeviceError if it is not there or cannot be used.
void choose_device(int index);

}  // namespace sigmascope::device
