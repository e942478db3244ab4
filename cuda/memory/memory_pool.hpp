// SPDX-License-Identifier: BSD-3-Clause
// A pool of device memory that is taken and given back in the order of one stream. It keeps what it
// has until its end, so that no call waits for the device. A device that supports no pools, as some
// virtual ones, has memory of its own for each array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "runtime/handles.hpp"

namespace sigmascope::device {

class MemoryPool {
 public:
  // Reserves `planned` bytes.
  MemoryPool(int device, const Stream& stream, std::int64_t planned);
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  void* take(std::size_t bytes);
  // Operations that use the memory must have been started, not only recorded.
  void give_back(void* at) noexcept;

 private:
  const Stream& stream_;
  cudaMemPool_t pool_ = nullptr;  // null: the device supports none
};

// Bytes of a pool, which must outlive them.
class PoolArray {
 public:
  PoolArray(MemoryPool& pool, std::size_t size)
      : pool_(&pool), data_(static_cast<std::byte*>(pool.take(size))), size_(size) {}
  ~PoolArray() {
    if (data_ != nullptr) pool_->give_back(data_);
  }
  PoolArray(PoolArray&& other) noexcept
      : pool_(other.pool_),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  PoolArray(const PoolArray&) = delete;
  PoolArray& operator=(const PoolArray&) = delete;

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  MemoryPool* pool_;
  std::byte* data_;
  std::size_t size_;
};

}  // namespace sigmascope::device
