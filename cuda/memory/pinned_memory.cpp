// SPDX-License-Identifier: BSD-3-Clause
#include "memory/pinned_memory.hpp"

#include <algorithm>
#include <bit>
#include <iterator>
#include <new>

namespace sigmascope::device {

namespace {

// Few sizes, so that a piece suits the next call.
std::size_t rounded_size(std::size_t bytes) {
  constexpr std::size_t least = std::size_t{1} << 16;
  return std::bit_ceil(std::max(bytes, least));
}

}  // namespace

void PinnedMemory::Piece::give_back() noexcept {
  if (bytes_ && from_ != nullptr) from_->give_back(std::move(bytes_));
  bytes_.reset();
}

PinnedMemory::Piece PinnedMemory::piece(std::size_t bytes) {
  const std::size_t size = rounded_size(bytes);
  if (auto kept = taken(size)) return {this, std::move(kept)};
  const bool stays = reserve(size);
  const auto pinned = [&]() -> Piece {
    return {stays ? this : nullptr, std::make_unique<PinnedArray<std::byte>>(size)};
  };
  try {
    try {
      return pinned();
    } catch (const CudaError& error) {
      if (error.code() != cudaErrorMemoryAllocation || kept() == 0) throw;
      clear();
      return pinned();
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (stays) pinned_ -= size;
    throw;
  }
}

std::unique_ptr<PinnedArray<std::byte>> PinnedMemory::taken(std::size_t size) {
  const std::lock_guard lock(mutex_);
  const auto entry = kept_.find(size);
  if (entry == kept_.end()) return nullptr;
  auto bytes = std::move(entry->second);
  kept_.erase(entry);
  return bytes;
}

// Whether a new piece may be kept, for which others that nobody uses are freed.
bool PinnedMemory::reserve(std::size_t size) {
  std::vector<Kept::node_type> freed;  // after the lock has been released: freeing takes long
  const std::lock_guard lock(mutex_);
  std::size_t unused = 0;
  for (const auto& [bytes, piece] : kept_) unused += bytes;
  if (pinned_ - unused + size > most_) return false;
  while (pinned_ + size > most_) {
    freed.push_back(kept_.extract(std::prev(kept_.end())));
    pinned_ -= freed.back().key();
  }
  pinned_ += size;
  return true;
}

void PinnedMemory::give_back(std::unique_ptr<PinnedArray<std::byte>> bytes) noexcept {
  const std::size_t size = bytes->size();
  const std::lock_guard lock(mutex_);
  try {
    kept_.emplace(size, std::move(bytes));
  } catch (const std::bad_alloc&) {
    pinned_ -= size;
  }
}

void PinnedMemory::clear() noexcept {
  Kept freed;
  const std::lock_guard lock(mutex_);
  freed.swap(kept_);
  for (const auto& [bytes, piece] : freed) pinned_ -= bytes;
}

std::size_t PinnedMemory::kept() const {
  const std::lock_guard lock(mutex_);
  return kept_.size();
}

PinnedMemory& pinned_memory() {
  // What eight calls use at once to copy matrices, and as much for their blocks. The object is
  // never destroyed: at the end of a process CUDA may be gone before it.
  constexpr std::size_t most = std::size_t{384} << 20;
  static auto* const memory = new PinnedMemory(most);
  return *memory;
}

}  // namespace sigmascope::device
