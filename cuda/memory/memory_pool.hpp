// SPDX-License-Identifier: BSD-3-Clause
// A pool of device memory that is taken and given back in the order of one stream. It keeps what it
// has, so that no call waits for the device. A device that supports no pools, as some virtual ones,
// has memory of its own for each array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "runtime/handles.hpp"

namespace sigmascope::device {

class MemoryPool {
 public:
  explicit MemoryPool(int device);
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // Memory is taken and given back in the order of this stream from here on. What other streams
  // were to do with memory of the pool is done.
  void follow(const Stream& stream) { stream_ = &stream; }
  // Makes sure that so many bytes can be taken.
  void reserve(std::size_t bytes);
  // Gives the device back what is beyond so many bytes, if nobody has it.
  cudaError_t shrink(std::size_t most) noexcept;
  // Bytes that it has after that.
  std::size_t kept() const { return kept_; }

  void* take(std::size_t bytes);
  // Operations that use the memory must have been started, not only recorded.
  void give_back(void* at) noexcept;

 private:
  const Stream* stream_ = nullptr;
  cudaMemPool_t pool_ = nullptr;  // null: the device supports none
  std::size_t kept_ = 0;
};

// Pools that the next call may use.
inline Spares<MemoryPool>& spare_pools() {
  static auto* const pools = new Spares<MemoryPool>;  // CUDA may be gone before their end
  return *pools;
}

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
