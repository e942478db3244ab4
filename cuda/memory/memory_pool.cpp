// SPDX-License-Identifier: BSD-3-Clause
#include "memory/memory_pool.hpp"

#include <limits>

namespace sigmascope::device {

namespace {

bool supports_pools(int device) {
  int supported = 0;
  check(cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported, device),
        "cudaDeviceGetAttribute");
  return supported != 0;
}

std::string call_of(const char* name, std::size_t bytes) {
  return std::string(name) + " of " + std::to_string(bytes) + " bytes";
}

}  // namespace

MemoryPool::MemoryPool(int device) {
  if (!supports_pools(device)) return;
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location = {cudaMemLocationTypeDevice, device};
  check(cudaMemPoolCreate(&pool_, &properties), "cudaMemPoolCreate");
  auto kept = std::numeric_limits<std::uint64_t>::max();
  const cudaError_t error = cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &kept);
  if (error == cudaSuccess) return;
  note(cudaMemPoolDestroy(pool_), "cudaMemPoolDestroy");
  check(error, "cudaMemPoolSetAttribute");
}

MemoryPool::~MemoryPool() {
  if (pool_ != nullptr) note(cudaMemPoolDestroy(pool_), "cudaMemPoolDestroy");
}

void MemoryPool::reserve(std::size_t bytes) {
  if (pool_ != nullptr && bytes > 0) give_back(take(bytes));
}

cudaError_t MemoryPool::shrink(std::size_t most) noexcept {
  if (pool_ == nullptr) return cudaSuccess;
  std::uint64_t reserved = 0;
  cudaError_t error = cudaMemPoolTrimTo(pool_, most);
  if (error == cudaSuccess)
    error = cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &reserved);
  kept_ = static_cast<std::size_t>(reserved);
  return error;
}

void* MemoryPool::take(std::size_t bytes) {
  void* at = nullptr;
  if (pool_ == nullptr) check(cudaMalloc(&at, bytes), call_of("cudaMalloc", bytes).c_str());
  else
    check(cudaMallocFromPoolAsync(&at, bytes, pool_, stream_->handle()),
          call_of("cudaMallocFromPoolAsync", bytes).c_str());
  return at;
}

void MemoryPool::give_back(void* at) noexcept {
  if (pool_ == nullptr) note(cudaFree(at), "cudaFree");
  else note(cudaFreeAsync(at, stream_->handle()), "cudaFreeAsync");
}

}  // namespace sigmascope::device
