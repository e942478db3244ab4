// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/found_devices.hpp"

#include "runtime/handles.hpp"

namespace sigmascope::device {

namespace {

constexpr int least_major = 8;  // compute capability, of the first devices that multiply bf16

constexpr const char* else_cpu = ", or compute with device='cpu'";

// The oldest driver that runs programs of this CUDA: any of the same major version.
std::string needed(const Versions& versions) {
  const int major = versions.runtime / 1000;
  const std::string cuda = "CUDA " + std::to_string(major) + ".0 is needed";
  return major == 13 ? cuda + ": driver 580 or newer" : cuda;
}

[[noreturn]] void refuse(cudaError_t error) {
  const Versions present = versions();
  if (present.driver == 0)
    throw DeviceError("there is no NVIDIA driver, " + needed(present) + "; install it" + else_cpu);
  if (error == cudaErrorInsufficientDriver)
    throw DeviceError("driver " + version_text(present.driver) + " is too old, " + needed(present) +
                      "; update it" + else_cpu);
  if (error == cudaErrorNoDevice)
    throw DeviceError("the driver (CUDA " + version_text(present.driver) +
                      ") finds no device; see what nvidia-smi lists and whether "
                      "CUDA_VISIBLE_DEVICES hides it" +
                      else_cpu);
  throw DeviceError(std::string("CUDA does not start: ") + cudaGetErrorName(error) + " (" +
                    cudaGetErrorString(error) + ") with driver " + version_text(present.driver) +
                    " and runtime " + version_text(present.runtime) +
                    "; see whether nvidia-smi runs" + else_cpu);
}

int count_devices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  cudaGetLastError();  // which would return it again
  refuse(error == cudaSuccess ? cudaErrorNoDevice : error);
}

std::string place(int index) { return "cuda:" + std::to_string(index); }

Found facts(int index) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  Found device;
  device.index = index;
  device.name = properties.name;
  device.major = properties.major, device.minor = properties.minor;
  device.memory = properties.totalGlobalMem;
  device.multiprocessors = properties.multiProcessorCount;
  return device;
}

std::string too_old(const Found& device) {
  return place(device.index) + " (" + device.name + ") has compute capability " +
         std::to_string(device.major) + "." + std::to_string(device.minor) + ", " +
         std::to_string(least_major) + ".0 or newer is needed";
}

}  // namespace

Versions versions() {
  Versions present{};
  check(cudaDriverGetVersion(&present.driver), "cudaDriverGetVersion");
  check(cudaRuntimeGetVersion(&present.runtime), "cudaRuntimeGetVersion");
  return present;
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::vector<Found> found_devices() {
  const int count = count_devices();
  std::vector<Found> all;
  all.reserve(static_cast<std::size_t>(count));
  for (int index = 0; index < count; ++index) all.push_back(facts(index));
  return all;
}

std::vector<int> usable_devices() {
  const int count = count_devices();
  std::vector<int> usable;
  std::string reasons;
  for (int index = 0; index < count; ++index) {
    const Found device = facts(index);
    if (device.major >= least_major) usable.push_back(index);
    else reasons += (reasons.empty() ? "" : "; ") + too_old(device);
  }
  if (usable.empty()) throw DeviceError(reasons + "; use another device" + else_cpu);
  return usable;
}

std::size_t free_memory(int index) {
  const int count = count_devices();
  if (index < 0 || index >= count)
    throw DeviceError("there is no " + place(index) + ": the index must be below the number of " +
                      "devices, " + std::to_string(count) + "; choose another" + else_cpu);
  const Found device = facts(index);
  if (device.major < least_major)
    throw DeviceError(too_old(device) + "; use another device" + else_cpu);
  try {
    const ChosenDevice chosen(index);
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    return free;
  } catch (const CudaError& error) {
    throw DeviceError(place(index) + " (" + device.name + ") cannot be used: " + error.what() +
                      "; see what else runs on it by nvidia-smi" + else_cpu);
  }
}

}  // namespace sigmascope::device
