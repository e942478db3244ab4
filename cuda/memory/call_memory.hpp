// SPDX-License-Identifier: BSD-3-Clause
// Memory of one call on a device: a pool of CUDA's stream-ordered allocator, in which what the call
// is planned to take is reserved at once (as rmm::mr::cuda_async_memory_resource does). Pieces that
// are given back are kept for the next ones of about their size: all of them are used by one
// stream, in whose order the memory is free again. The next call has the pool, with a little of its
// memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "memory/memory_pool.hpp"

namespace sigmascope::device {

class CallMemory : public std::enable_shared_from_this<CallMemory> {
 public:
  // Memory that goes back where it came from.
  class Piece {
   public:
    Piece() = default;
    Piece(std::shared_ptr<CallMemory> from, PoolArray bytes)
        : from_(std::move(from)), bytes_(std::make_unique<PoolArray>(std::move(bytes))) {}
    ~Piece() { give_back(); }
    Piece(Piece&&) noexcept = default;
    Piece& operator=(Piece&& other) noexcept {
      give_back();
      from_ = std::move(other.from_), bytes_ = std::move(other.bytes_);
      return *this;
    }
    std::byte* data() const { return bytes_ ? bytes_->data() : nullptr; }

   private:
    void give_back() noexcept;

    std::shared_ptr<CallMemory> from_;
    std::unique_ptr<PoolArray> bytes_;
  };

  // `planned` bytes are reserved when the first piece is taken. More are taken if need be.
  CallMemory(int device, const Stream& stream, std::int64_t planned)
      : device_(device), stream_(stream), planned_(planned) {}
  ~CallMemory();
  CallMemory(const CallMemory&) = delete;
  CallMemory& operator=(const CallMemory&) = delete;

  // At least so many bytes; their content is undefined.
  Piece piece(std::size_t bytes);

 private:
  static constexpr std::size_t unit = 256;
  // Bytes that a pool keeps for the next call: a small one then takes no memory of the device.
  static constexpr std::size_t most_kept = std::size_t{32} << 20;

  std::unique_ptr<MemoryPool> reserved();
  PoolArray taken(std::size_t bytes);

  int device_;
  const Stream& stream_;
  std::int64_t planned_;
  std::unique_ptr<MemoryPool> pool_;
  std::multimap<std::size_t, std::unique_ptr<PoolArray>> free_;
};

inline void CallMemory::Piece::give_back() noexcept {
  if (!bytes_) return;
  const std::size_t size = bytes_->size();
  try {
    from_->free_.emplace(size, std::move(bytes_));
  } catch (const std::bad_alloc&) {
    from_->stream_.settle();  // nothing that was recorded uses it any more
    bytes_.reset();
  }
}

// The wait is for memory that was given back, which the next call may need. The pool is not kept if
// something went wrong.
inline CallMemory::~CallMemory() {
  free_.clear();
  if (!pool_) return;
  stream_.settle_direct();
  const cudaError_t error = pool_->shrink(most_kept);
  note(error, "cudaMemPoolTrimTo");
  if (error == cudaSuccess && pool_->kept() > 0) spare_pools().keep(device_, std::move(pool_));
}

inline std::unique_ptr<MemoryPool> CallMemory::reserved() {
  const auto planned = static_cast<std::size_t>(planned_);
  if (auto pool = spare_pools().take(device_)) {
    pool->follow(stream_);
    try {
      if (planned > pool->kept()) check(pool->shrink(0), "cudaMemPoolTrimTo");
      pool->reserve(planned);
      return pool;
    } catch (const CudaError& error) {
      if (error.code() != cudaErrorMemoryAllocation) throw;
      pool.reset(), spare_pools().clear();  // which may have what is lacking
    }
  }
  auto pool = std::make_unique<MemoryPool>(device_);
  pool->follow(stream_);
  pool->reserve(planned);
  return pool;
}

inline PoolArray CallMemory::taken(std::size_t bytes) {
  if (!pool_) pool_ = reserved();
  return {*pool_, bytes};
}

inline CallMemory::Piece CallMemory::piece(std::size_t bytes) {
  const std::size_t size = (bytes + unit - 1) / unit * unit;
  const auto smallest = free_.lower_bound(size);
  if (smallest != free_.end() && smallest->first <= 2 * size) {
    PoolArray kept = std::move(*smallest->second);
    free_.erase(smallest);
    return {shared_from_this(), std::move(kept)};
  }
  try {
    return {shared_from_this(), taken(size)};
  } catch (const CudaError& error) {
    if (error.code() != cudaErrorMemoryAllocation || (free_.empty() && spare_pools().size() == 0))
      throw;
    stream_.wait();
    free_.clear(), spare_pools().clear();
    return {shared_from_this(), taken(size)};
  }
}

// A tall, thin matrix on a device, row-major.
template <class T>
struct DeviceBlock {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  CallMemory::Piece memory;

  T* data() const { return reinterpret_cast<T*>(memory.data()); }
  std::int64_t size() const { return rows * cols; }
  std::size_t bytes() const { return static_cast<std::size_t>(size()) * sizeof(T); }
};

}  // namespace sigmascope::device
