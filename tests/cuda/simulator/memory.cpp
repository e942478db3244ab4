// SPDX-License-Identifier: BSD-3-Clause
// Allocation of memory: at once, and in the order of streams.
#include <algorithm>

#include "simulator/devices.hpp"
#include "simulator/runtime.hpp"

using namespace sigmascope::simulator;

namespace {

Pool* owned(cudaMemPool_t handle) {
  const auto& all = devices().pools;
  const auto place =
      std::ranges::find_if(all, [&](const auto& each) { return each.get() == handle; });
  return place == all.end() || (*place)->destroyed ? nullptr : place->get();
}

// Takes memory of a device; whether it has so much.
bool reserve(int device, std::size_t bytes) {
  Devices& all = devices();
  ++all.counts.allocations;
  std::size_t& used = all.bytes[device];
  if (bytes > all.settings.memory - used) return false;
  used += bytes;
  return true;
}

void remove_if_empty(Pool* pool) {
  if (!pool->destroyed || pool->allocations > 0) return;
  Devices& all = devices();
  all.bytes[pool->device] -= pool->reserved;
  std::erase_if(all.pools, [&](const auto& each) { return each.get() == pool; });
}

// The stream has reached an allocation of a pool. What is only reserved by it has no content.
void begin(void* at) {
  const auto place = devices().memory.find(at);
  if (place == devices().memory.end()) return;
  Allocation& allocation = *place->second;
  allocation.begun = true;
  allocation.memory.allow_access(true);
  if (!allocation.given_back && devices().settings.counted_blocks == 0) allocation.memory.fill();
}

// The stream has reached the end of an allocation of a pool.
void unmap(void* at) {
  Devices& all = devices();
  const auto place = all.memory.find(at);
  if (place == all.memory.end()) return;
  Pool* const pool = place->second->pool;
  all.memory.erase(place);
  --pool->allocations;
  remove_if_empty(pool);
}

}  // namespace

namespace sigmascope::simulator {

void trim_pools() {
  for (const auto& pool : devices().pools) {
    const std::size_t kept =
        std::max(pool->used, std::min<std::size_t>(pool->threshold, pool->reserved));
    devices().bytes[pool->device] -= pool->reserved - kept;
    pool->reserved = kept;
  }
}

}  // namespace sigmascope::simulator

cudaError_t cudaMalloc(void** at, std::size_t bytes) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  if (const cudaError_t error = make_context(device_of_thread()); error != cudaSuccess)
    return error;
  Devices& all = devices();
  if (!reserve(device_of_thread(), bytes)) return Call::failed(cudaErrorMemoryAllocation);
  auto allocation = std::make_unique<Allocation>(bytes, device_of_thread());
  *at = allocation->memory.data();
  allocation->memory.allow_access(false);
  all.memory.emplace(*at, std::move(allocation));
  return cudaSuccess;
}

cudaError_t cudaFree(void* at) {
  const auto call = Call::of_destructor();
  Devices& all = devices();
  if (at == nullptr) return call.status();
  const auto place = all.memory.find(at);
  if (place == all.memory.end()) {
    all.violate("freed memory that was not allocated, or twice");
    return call.status();
  }
  // A device would wait. With an arena nobody would, so that here it is a mistake.
  for (const auto& stream : all.streams)
    if (!stream->queue.empty() && stream->owner == std::this_thread::get_id())
      all.violate("memory freed while operations are pending");
  all.bytes[place->second->device] -= place->second->memory.size();
  all.memory.erase(place);
  return call.status();
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  if (const cudaError_t error = make_context(device_of_thread()); error != cudaSuccess)
    return error;
  const auto& [type, location] = *properties;
  if (!devices().settings.memory_pools || type != cudaMemAllocationTypePinned ||
      location.type != cudaMemLocationTypeDevice || location.id < 0 ||
      location.id >= devices().settings.devices)
    return Call::failed(cudaErrorInvalidValue);
  ++devices().counts.pools;
  devices().pools.push_back(std::make_unique<Pool>(Pool{.device = location.id}));
  *pool = devices().pools.back().get();
  return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t handle, cudaMemPoolAttr attribute, void* value) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  Pool* const pool = owned(handle);
  if (pool == nullptr || attribute != cudaMemPoolAttrReleaseThreshold)
    return Call::failed(cudaErrorInvalidValue);
  pool->threshold = *static_cast<std::uint64_t*>(value);
  return cudaSuccess;
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t handle, cudaMemPoolAttr attribute, void* value) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  const Pool* const pool = owned(handle);
  if (pool == nullptr || attribute != cudaMemPoolAttrReservedMemCurrent)
    return Call::failed(cudaErrorInvalidValue);
  *static_cast<std::uint64_t*>(value) = pool->reserved;
  return cudaSuccess;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t handle, std::size_t most) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  Pool* const pool = owned(handle);
  if (pool == nullptr) return Call::failed(cudaErrorInvalidValue);
  const std::size_t allowed = devices().settings.pools_keep ? std::min(most, pool->reserved) : 0;
  const std::size_t kept = std::max(pool->used, allowed);
  devices().bytes[pool->device] -= pool->reserved - kept;
  pool->reserved = kept;
  return cudaSuccess;
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t handle) {
  const auto call = Call::of_destructor();
  Pool* const pool = owned(handle);
  if (pool == nullptr) return Call::failed(cudaErrorInvalidValue);
  pool->destroyed = true;
  remove_if_empty(pool);
  return call.status();
}

cudaError_t cudaMallocFromPoolAsync(void** at, std::size_t bytes, cudaMemPool_t handle,
                                    cudaStream_t stream) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  Pool* const pool = owned(handle);
  if (pool == nullptr) return Call::failed(cudaErrorInvalidValue);
  if (const std::size_t wanted = pool->used + bytes; wanted > pool->reserved) {
    if (!reserve(pool->device, wanted - pool->reserved))
      return Call::failed(cudaErrorMemoryAllocation);
    pool->reserved = wanted;
  }
  pool->used += bytes, ++pool->allocations;
  auto allocation = std::make_unique<Allocation>(bytes, pool->device, pool);
  *at = allocation->memory.data();
  allocation->memory.allow_access(false);
  devices().memory.emplace(*at, std::move(allocation));
  return enqueue(stream, {.act = [address = *at] { begin(address); }});
}

cudaError_t cudaFreeAsync(void* at, cudaStream_t stream) {
  const auto call = Call::of_destructor();
  Devices& all = devices();
  const auto place = all.memory.find(at);
  if (place == all.memory.end() || place->second->pool == nullptr || place->second->given_back) {
    all.violate("gave memory back that is of no pool, or twice");
    return call.status();
  }
  place->second->given_back = true;
  place->second->pool->used -= place->second->memory.size();
  const cudaError_t error = enqueue(stream, {.act = [at] { unmap(at); }});
  return error != cudaSuccess ? error : call.status();
}

cudaError_t cudaMallocHost(void** at, std::size_t bytes) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  if (const cudaError_t error = make_context(device_of_thread()); error != cudaSuccess)
    return error;
  ++devices().counts.pinned_allocations;
  auto allocation = std::make_unique<Allocation>(bytes, device_of_thread());
  *at = allocation->memory.data();
  devices().pinned.emplace(*at, std::move(allocation));
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* at) {
  const auto call = Call::of_destructor();
  Devices& all = devices();
  if (at != nullptr && all.pinned.erase(at) == 0)
    all.violate("freed pinned memory that was not allocated, or twice");
  return call.status();
}
