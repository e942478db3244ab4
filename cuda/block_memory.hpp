// SPDX-License-Identifier: BSD-3-Clause
// Memory of blocks on a device. What a block leaves is kept for the next one of about its size: all
// of them are used by one stream, in whose order the memory is free again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "handles.hpp"

namespace sigmascope::device {

class BlockMemory : public std::enable_shared_from_this<BlockMemory> {
 public:
  // Memory that goes back where it came from.
  class Piece {
   public:
    Piece() = default;
    Piece(std::shared_ptr<BlockMemory> from, DeviceArray<std::byte> bytes)
        : from_(std::move(from)),
          bytes_(std::make_unique<DeviceArray<std::byte>>(std::move(bytes))) {}
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

    std::shared_ptr<BlockMemory> from_;
    std::unique_ptr<DeviceArray<std::byte>> bytes_;
  };

  explicit BlockMemory(const Stream& stream) : stream_(stream) {}

  // At least so many bytes; their content is undefined.
  Piece piece(std::size_t bytes);

 private:
  static constexpr std::size_t unit = 4096;

  const Stream& stream_;
  std::multimap<std::size_t, std::unique_ptr<DeviceArray<std::byte>>> free_;
};

inline void BlockMemory::Piece::give_back() noexcept {
  if (!bytes_) return;
  const std::size_t size = bytes_->size();
  try {
    from_->free_.emplace(size, std::move(bytes_));
  } catch (const std::bad_alloc&) {
    bytes_.reset();  // waits for the device, so that nothing uses it any more
  }
}

inline BlockMemory::Piece BlockMemory::piece(std::size_t bytes) {
  const std::size_t size = (bytes + unit - 1) / unit * unit;
  const auto found = free_.lower_bound(size);
  if (found != free_.end() && found->first <= 2 * size) {
    DeviceArray<std::byte> kept = std::move(*found->second);
    free_.erase(found);
    return {shared_from_this(), std::move(kept)};
  }
  try {
    return {shared_from_this(), DeviceArray<std::byte>(size)};
  } catch (const CudaError& error) {
    if (error.code() != cudaErrorMemoryAllocation || free_.empty()) throw;
    stream_.wait();
    free_.clear();
    return {shared_from_this(), DeviceArray<std::byte>(size)};
  }
}

// A tall, thin matrix on a device, row-major.
template <class T>
struct DeviceBlock {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  BlockMemory::Piece memory;

  T* data() const { return reinterpret_cast<T*>(memory.data()); }
  std::int64_t size() const { return rows * cols; }
  std::size_t bytes() const { return static_cast<std::size_t>(size()) * sizeof(T); }
};

}  // namespace sigmascope::device
