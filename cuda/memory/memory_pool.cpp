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

MemoryPool::MemoryPool(int device, const Stream& stream, std::int64_t planned) : stream_(stream) {
  if (!supports_pools(device)) return;
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location = {cudaMemLocationTypeDevice, device};
  check(cudaMemPoolCreate(&pool_, &properties), "cudaMemPoolCreate");
  try {
    auto kept = std::numeric_limits<std::uint64_t>::max();
    check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &kept),
          "cudaMemPoolSetAttribute");
    if (planned > 0) give_back(take(static_cast<std::size_t>(planned)));
  } catch (...) {
    note(cudaMemPoolDestroy(pool_), "cudaMemPoolDestroy");
    throw;
  }
}

// The wait is for memory that was given back, which the next call may need.
MemoryPool::~MemoryPool() {
  if (pool_ == nullptr) return;
  stream_.settle_direct();
  note(cudaMemPoolDestroy(pool_), "cudaMemPoolDestroy");
}

void* MemoryPool::take(std::size_t bytes) {
  void* at = nullptr;
  if (pool_ == nullptr) check(cudaMalloc(&at, bytes), call_of("cudaMalloc", bytes).c_str());
  else
    check(cudaMallocFromPoolAsync(&at, bytes, pool_, stream_.handle()),
          call_of("cudaMallocFromPoolAsync", bytes).c_str());
  return at;
}

void MemoryPool::give_back(void* at) noexcept {
  if (pool_ == nullptr) note(cudaFree(at), "cudaFree");
  else note(cudaFreeAsync(at, stream_.handle()), "cudaFreeAsync");
}

}  // namespace sigmascope::device
