// SPDX-License-Identifier: BSD-3-Clause
#include "simulator/devices.hpp"

namespace sigmascope::simulator {

void Devices::violate(const std::string& what) {
  if (violation.empty()) violation = what;
  sticky = cudaErrorLaunchFailure;
}

Devices& devices() {
  static Devices all;
  return all;
}

Stream* stream_of(cudaStream_t handle) {
  Devices& all = devices();
  if (handle == cudaStreamLegacy || handle == cudaStreamPerThread)
    return &all.defaults[handle == cudaStreamLegacy ? 0 : 1];
  for (const auto& stream : all.streams)
    if (stream.get() == handle) return handle;
  return nullptr;
}

Call::Call(Acts acts) : lock_(devices().mutex), error_(cudaSuccess) {
  Devices& all = devices();
  if (all.counts.calls++ == all.settings.failing_call) {
    error_ = failed(static_cast<cudaError_t>(all.settings.failure));
  } else if (acts == Acts::always) {
    return;
  } else if (all.settings.driver < 13000) {
    error_ = failed(cudaErrorInsufficientDriver);
  } else if (all.settings.devices == 0) {
    error_ = failed(cudaErrorNoDevice);
  } else {
    error_ = all.sticky;
  }
}

cudaError_t Call::status() const { return error_ != cudaSuccess ? error_ : devices().sticky; }

cudaError_t Call::failed(cudaError_t error) {
  last_error_of_thread() = error;
  return error;
}

int& device_of_thread() {
  thread_local int device = 0;
  return device;
}

cudaError_t make_context(int device) {
  Devices& all = devices();
  if (all.contexts.contains(device)) return cudaSuccess;
  if (device == all.settings.occupied) return Call::failed(cudaErrorDevicesUnavailable);
  all.contexts.insert(device);
  return cudaSuccess;
}

cudaError_t& last_error_of_thread() {
  thread_local cudaError_t error = cudaSuccess;
  return error;
}

void restart(const Settings& settings) {
  Devices& all = devices();
  const std::lock_guard lock(all.mutex);
  all.streams.clear(), all.events.clear();
  for (Stream& stream : all.defaults) stream.queue.clear();
  all.memory.clear(), all.pinned.clear(), all.bytes.clear(), all.pools.clear();
  all.contexts.clear();
  all.open_handles = 0;
  all.counts = {}, all.launches.clear(), all.uploads.clear(), all.copies = 0;
  all.sticky = cudaSuccess, last_error_of_thread() = cudaSuccess;
  all.violation.clear();
  all.settings = settings;
  all.random.seed(settings.seed);
}

Settings settings() {
  const std::lock_guard lock(devices().mutex);
  return devices().settings;
}

Counts counts() {
  const std::lock_guard lock(devices().mutex);
  return devices().counts;
}

std::vector<Launched> launches() {
  const std::lock_guard lock(devices().mutex);
  return devices().launches;
}

std::vector<Uploaded> uploads() {
  const std::lock_guard lock(devices().mutex);
  return devices().uploads;
}

std::vector<int> contexts() {
  const std::lock_guard lock(devices().mutex);
  return {devices().contexts.begin(), devices().contexts.end()};
}

std::size_t bytes_in_use() {
  const std::lock_guard lock(devices().mutex);
  std::size_t total = 0;
  for (const auto& [device, bytes] : devices().bytes) total += bytes;
  return total;
}

std::int64_t objects_in_use() {
  const Devices& all = devices();
  const std::lock_guard lock(devices().mutex);
  return all.open_handles +
         static_cast<std::int64_t>(all.memory.size() + all.pinned.size() + all.pools.size() +
                                   all.streams.size() + all.events.size());
}

std::string violation() {
  const std::lock_guard lock(devices().mutex);
  return devices().violation;
}

}  // namespace sigmascope::simulator
