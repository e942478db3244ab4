// SPDX-License-Identifier: BSD-3-Clause
#include "simulator/runtime.hpp"

#include <algorithm>
#include <cstring>

#include "simulator/devices.hpp"
#include "simulator/sanitizers.hpp"

using namespace sigmascope::simulator;

namespace {

constexpr int multiprocessors = 132;

using Allocations = std::map<void*, std::unique_ptr<Allocation>>;

const Allocation* holder(const Allocations& all, const void* at) {
  for (const auto& [begin, allocation] : all)
    if (allocation->memory.contains(at)) return allocation.get();
  return nullptr;
}

template <class Pointer, class T>
bool remove_from(std::vector<Pointer>& all, const T* one) {
  return std::erase_if(all, [&](const auto& each) { return each.get() == one; }) > 0;
}

template <class T>
bool has(const std::vector<std::unique_ptr<T>>& all, const T* one) {
  return std::ranges::any_of(all, [&](const auto& each) { return each.get() == one; });
}

std::shared_ptr<Event> owned(cudaEvent_t event) {
  const auto& all = devices().events;
  const auto place =
      std::ranges::find_if(all, [&](const auto& each) { return each.get() == event; });
  return place == all.end() ? nullptr : *place;
}

// Whether memory has content.
bool has_content() { return devices().settings.counted_blocks == 0; }

void count_copy(cudaMemcpyKind kind, std::size_t bytes) {
  Counts& counts = devices().counts;
  if (kind == cudaMemcpyHostToDevice) {
    counts.bytes_to_device += static_cast<std::int64_t>(bytes);
    ++devices().copies;
    if (!has_content()) devices().uploads.push_back({.bytes = bytes});
  }
  if (kind == cudaMemcpyDeviceToHost) counts.bytes_to_host += static_cast<std::int64_t>(bytes);
}

void count_wait(const Event& event) {
  ++devices().counts.waits;
  if (!has_content()) devices().uploads.push_back({.copies = event.copies});
}

// The host's side of a copy must be pinned: from other memory the call would wait in silence.
void check_pinned(cudaMemcpyKind kind, const void* to, const void* from) {
  const void* host = kind == cudaMemcpyHostToDevice   ? from
                     : kind == cudaMemcpyDeviceToHost ? to
                                                      : nullptr;
  if (host != nullptr && holder(devices().pinned, host) == nullptr)
    devices().violate("a copy from or to memory that is not pinned");
}

}  // namespace

cudaError_t cudaDriverGetVersion(int* version) {
  const auto call = Call::of_destructor();
  *version = devices().settings.driver;
  return call.status();
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  const auto call = Call::of_destructor();
  *version = 13000;
  return call.status();
}

cudaError_t cudaGetDeviceCount(int* count) {
  const Call call;
  *count = call.error() == cudaSuccess ? devices().settings.devices : 0;
  return call.error();
}

cudaError_t cudaGetDevice(int* device) {
  const Call call;
  *device = device_of_thread();
  return call.error();
}

cudaError_t cudaSetDevice(int device) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  if (device < 0 || device >= devices().settings.devices)
    return Call::failed(cudaErrorInvalidDevice);
  if (const cudaError_t error = make_context(device); error != cudaSuccess) return error;
  device_of_thread() = device;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  if (device < 0 || device >= devices().settings.devices)
    return Call::failed(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = multiprocessors; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = devices().settings.capability / 10;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = devices().settings.capability % 10;
      return cudaSuccess;
    case cudaDevAttrMemoryPoolsSupported:
      *value = devices().settings.memory_pools ? 1 : 0;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(devices().settings.shared_memory);
      return cudaSuccess;
  }
  return Call::failed(cudaErrorInvalidValue);
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  constexpr auto state = +[](int device, unsigned* flags, int* active) {
    const std::lock_guard lock(devices().mutex);
    *flags = 0, *active = devices().contexts.contains(device) ? 1 : 0;
    return 0;
  };
  const bool known = std::strcmp(symbol, "cuDevicePrimaryCtxGetState") == 0;
  *function = known ? reinterpret_cast<void*>(state) : nullptr;
  *result = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  const Settings& settings = devices().settings;
  if (device < 0 || device >= settings.devices) return Call::failed(cudaErrorInvalidDevice);
  *properties = {"simulated device", settings.memory, settings.capability / 10,
                 settings.capability % 10, multiprocessors};
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const Call call;
  if (const cudaError_t error = make_context(device_of_thread()); error != cudaSuccess)
    return error;
  *total = devices().settings.memory;
  *free = *total - devices().bytes[device_of_thread()];
  return call.error();
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* at) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  *attributes = {cudaMemoryTypeUnregistered, -2, nullptr, const_cast<void*>(at)};
  if (const Allocation* allocation = holder(devices().memory, at); allocation != nullptr)
    *attributes = {cudaMemoryTypeDevice, allocation->device, const_cast<void*>(at), nullptr};
  else if (const Allocation* pinned = holder(devices().pinned, at); pinned != nullptr)
    *attributes = {cudaMemoryTypeHost, pinned->device, const_cast<void*>(at),
                   const_cast<void*>(at)};
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  check_pinned(kind, to, from);
  count_copy(kind, bytes);
  return enqueue(stream, {.act = [=] {
                   if (has_content()) std::memcpy(to, from, bytes);
                 }});
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  check_pinned(kind, to, from);
  count_copy(kind, width * height);
  return enqueue(stream, {.act = [=] {
                   for (std::size_t row = 0; has_content() && row < height; ++row)
                     std::memcpy(static_cast<std::byte*>(to) + row * to_pitch,
                                 static_cast<const std::byte*>(from) + row * from_pitch, width);
                 }});
}

cudaError_t cudaMemsetAsync(void* at, int value, std::size_t bytes, cudaStream_t stream) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  return enqueue(stream, {.act = [=] {
                   if (has_content()) std::memset(at, value, bytes);
                 }});
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  if (const cudaError_t error = make_context(device_of_thread()); error != cudaSuccess)
    return error;
  if (flags != cudaStreamNonBlocking)
    devices().violate("a stream that waits for the default stream");
  ++devices().counts.streams;
  devices().streams.push_back(std::make_unique<Stream>());
  *stream = devices().streams.back().get();
  return devices().sticky;
}

// How often something is asked before it is ready depends on the clock. Only the last answer counts
// as a call, which may fail, and as a wait.
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (const std::lock_guard lock(devices().mutex);
      has(devices().streams, stream) && !stream->queue.empty())
    return Call::failed(cudaErrorNotReady);
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  if (!has(devices().streams, stream)) return Call::failed(cudaErrorInvalidResourceHandle);
  ++devices().counts.waits;
  acquire(&stream->token);
  return devices().sticky;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  if (!has(devices().streams, stream)) return Call::failed(cudaErrorInvalidResourceHandle);
  ++devices().counts.waits;
  run_until([&] { return stream->queue.empty(); }, stream);
  trim_pools();
  acquire(&stream->token);
  return devices().sticky;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const auto call = Call::of_destructor();
  if (!has(devices().streams, stream)) return Call::failed(cudaErrorInvalidResourceHandle);
  run_until([&] { return stream->queue.empty(); }, stream);
  remove_from(devices().streams, stream);
  return call.status();
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  const std::shared_ptr<Event> awaited = owned(event);
  if (!awaited) return Call::failed(cudaErrorInvalidResourceHandle);
  return enqueue(
      stream, {.act = nullptr, .record = nullptr, .awaited = awaited, .ticket = awaited->recorded});
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  if (const cudaError_t error = make_context(device_of_thread()); error != cudaSuccess)
    return error;
  devices().events.push_back(std::make_shared<Event>());
  *event = devices().events.back().get();
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  const std::shared_ptr<Event> recorded = owned(event);
  if (!recorded) return Call::failed(cudaErrorInvalidResourceHandle);
  const std::uint64_t ticket = ++recorded->recorded;
  recorded->stream = stream_of(stream), recorded->copies = devices().copies;
  return enqueue(stream,
                 {.act = nullptr, .record = recorded, .awaited = nullptr, .ticket = ticket});
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (const std::lock_guard lock(devices().mutex); event->done < event->recorded)
    return Call::failed(cudaErrorNotReady);
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  count_wait(*event);
  acquire(&event->token);
  return devices().sticky;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  count_wait(*event);
  // A wait runs what it must: what nobody waits for may not have run.
  Stream* const first = has(devices().streams, event->stream) ? event->stream : nullptr;
  run_until([event, wanted = event->recorded] { return event->done >= wanted; }, first);
  trim_pools();
  acquire(&event->token);
  return devices().sticky;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const auto call = Call::of_destructor();
  return remove_from(devices().events, event) ? call.status()
                                              : Call::failed(cudaErrorInvalidResourceHandle);
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error_of_thread();
  last_error_of_thread() = cudaSuccess;
  return error != cudaSuccess ? error : devices().sticky;
}
