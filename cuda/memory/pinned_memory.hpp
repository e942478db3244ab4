// SPDX-License-Identifier: BSD-3-Clause
// Pinned memory of the process. Pinning memory takes long, so that what one call gives back is lent
// to the next one. Memory that one device pinned is pinned for all: they share one address space.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/handles.hpp"

namespace sigmascope::device {

// Safe for several threads at once.
class PinnedMemory {
 public:
  // Memory that is lent. It must not be given back before copies from and to it have ended.
  class Piece {
   public:
    Piece() = default;
    Piece(PinnedMemory* from, std::unique_ptr<PinnedArray<std::byte>> bytes)
        : from_(from), bytes_(std::move(bytes)) {}
    ~Piece() { give_back(); }
    Piece(Piece&&) noexcept = default;
    Piece& operator=(Piece&& other) noexcept {
      give_back();
      from_ = other.from_, bytes_ = std::move(other.bytes_);
      return *this;
    }

    std::byte* data() const { return bytes_ ? bytes_->data() : nullptr; }
    std::size_t size() const { return bytes_ ? bytes_->size() : 0; }

   private:
    void give_back() noexcept;

    PinnedMemory* from_ = nullptr;  // null: it is freed, not kept for others
    std::unique_ptr<PinnedArray<std::byte>> bytes_;
  };

  // Keeps `most` bytes, with those that are lent.
  explicit PinnedMemory(std::size_t most) : most_(most) {}
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  // At least so many bytes; their content is undefined. A call never waits for what others give
  // back, so that calls which have some each cannot wait for each other: beyond `most` bytes it
  // pins memory of its own, which is freed when it is given back.
  Piece piece(std::size_t bytes);

  // Frees what is not lent.
  void clear() noexcept;
  // How many pieces are kept for the next call.
  std::size_t kept() const;

 private:
  using Kept = std::multimap<std::size_t, std::unique_ptr<PinnedArray<std::byte>>>;

  std::unique_ptr<PinnedArray<std::byte>> taken(std::size_t size);
  bool reserve(std::size_t size);
  void give_back(std::unique_ptr<PinnedArray<std::byte>> bytes) noexcept;

  mutable std::mutex mutex_;
  const std::size_t most_;
  std::size_t pinned_ = 0;  // bytes that are kept or will be
  Kept kept_;               // by size
};

// The pinned memory of all calls of this process.
PinnedMemory& pinned_memory();

}  // namespace sigmascope::device
