// SPDX-License-Identifier: BSD-3-Clause
#include "storage/memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace sigmascope {

namespace {

constexpr std::size_t page = 4096, huge_page = std::size_t{2} << 20;
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t large = SIZE_MAX;  // pages of their own are nothing that it watches
#else
constexpr std::size_t large = std::size_t{256} << 10;
#endif
// One freed run must not displace all the others.
constexpr std::size_t most_kept = std::size_t{32} << 20, largest_kept = most_kept / 4;

constexpr std::size_t whole(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// Bytes to take from the system: powers of two, as far as freed memory is kept, so that a growing
// array finds the memory that an earlier one of its size has left. Untouched pages take no physical
// memory.
constexpr std::size_t run_of(std::size_t bytes) {
  return bytes <= largest_kept ? std::bit_ceil(bytes) : whole(bytes, page);
}

void* map(std::size_t bytes) {
  const std::size_t unit = bytes >= 4 * huge_page ? huge_page : page, spare = unit - page;
  void* address =
      ::mmap(nullptr, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw std::bad_alloc();
  auto* start = static_cast<std::byte*>(address);
  const std::size_t before = whole(reinterpret_cast<std::uintptr_t>(start), unit) -
                             reinterpret_cast<std::uintptr_t>(start);
  if (before > 0) ::munmap(start, before);
  if (spare > before) ::munmap(start + before + bytes, spare - before);
#if defined(MADV_HUGEPAGE)
  if (unit == huge_page) ::madvise(start + before, bytes / huge_page * huge_page, MADV_HUGEPAGE);
#endif
  return start + before;
}

// The runs that were freed last, newest last.
class Kept {
 public:
  void* take(std::size_t wanted) {
    const std::size_t bytes = run_of(wanted);
    const std::lock_guard lock(mutex_);
    held_ += wanted;
    most_held_ = std::max(most_held_, held_);
    const auto kept = std::find_if(runs_.rbegin(), runs_.rend(),
                                   [&](const Run& run) { return run.bytes == bytes; });
    if (kept == runs_.rend()) {
      while (total_ > 0 && held_ + total_ > most_held_) drop_oldest();
      return nullptr;
    }
    void* memory = kept->memory;
    total_ -= bytes;
    runs_.erase(std::next(kept).base());
    return memory;
  }

  void give(void* memory, std::size_t wanted) noexcept {
    const std::size_t bytes = run_of(wanted);
    const std::lock_guard lock(mutex_);
    held_ -= wanted;
    const std::size_t most = keeping_ > 0 ? std::max(most_held_ - held_, most_kept) : most_kept;
    if (bytes > (keeping_ > 0 ? most : largest_kept)) {
      ::munmap(memory, bytes);
      return;
    }
    while (total_ + bytes > most || runs_.size() == runs_.capacity()) drop_oldest();
    runs_.push_back({memory, bytes});
    total_ += bytes;
  }

  void was_not_there(std::size_t wanted) noexcept {
    const std::lock_guard lock(mutex_);
    held_ -= wanted;
  }

  void keep() {
    const std::lock_guard lock(mutex_);
    if (keeping_++ == 0) most_held_ = held_;
  }

  void keep_no_more() noexcept {
    const std::lock_guard lock(mutex_);
    if (--keeping_ > 0) return;
    const auto is_large = [](const Run& run) { return run.bytes > largest_kept; };
    for (const Run& run : runs_)
      if (is_large(run)) ::munmap(run.memory, run.bytes), total_ -= run.bytes;
    std::erase_if(runs_, is_large);
    while (total_ > most_kept) drop_oldest();
  }

  Kept() { runs_.reserve(most_runs); }

 private:
  static constexpr std::size_t most_runs = 1024;
  struct Run {
    void* memory;
    std::size_t bytes;
  };

  void drop_oldest() noexcept {
    ::munmap(runs_.front().memory, runs_.front().bytes);
    total_ -= runs_.front().bytes;
    runs_.erase(runs_.begin());
  }

  std::mutex mutex_;
  std::vector<Run> runs_;
  std::size_t total_ = 0;                 // kept
  std::size_t held_ = 0, most_held_ = 0;  // by others; the most since `keep`
  int keeping_ = 0;
};

Kept& kept() {
  static auto* const one = new Kept;  // never destroyed: arrays may outlive it
  return *one;
}

}  // namespace

void* take_memory(std::size_t bytes) {
  if (bytes < large) {
    void* memory = std::aligned_alloc(64, whole(std::max<std::size_t>(bytes, 1), 64));
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
  }
  if (void* memory = kept().take(bytes)) return memory;
  try {
    return map(run_of(bytes));
  } catch (...) {
    kept().was_not_there(bytes);
    throw;
  }
}

void give_memory(void* memory, std::size_t bytes) noexcept {
  if (bytes < large) std::free(memory);
  else kept().give(memory, bytes);
}

KeepingMemory::KeepingMemory() { kept().keep(); }

void KeepingMemory::end() noexcept {
  if (!ended_.exchange(true)) kept().keep_no_more();
}

}  // namespace sigmascope
