// SPDX-License-Identifier: BSD-3-Clause
// Memory for large arrays of numbers: pages of their own, which return to the system when they are
// freed. In the heaps of the C library, one for each thread, freed arrays leave holes between
// smaller things, which the heap keeps.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace sigmascope {

// Memory that is not initialised, aligned to 64 bytes. Large arrays start at a page. They use huge
// pages where these make up most of them: fewer faults, fewer TLB misses. The last few freed arrays
// are kept with their pages, since a search asks for the same sizes again and again; those of other
// sizes go where the process would outgrow its peak. Throws std::bad_alloc.
void* take_memory(std::size_t bytes);
void give_memory(void* memory, std::size_t bytes) noexcept;

// As long as such an object lives, freed memory is kept, up to the peak that was in use at one time
// (or to what is kept anyway). The process grows no larger, and the next arrays find pages that
// need not be cleared.
class KeepingMemory {
 public:
  KeepingMemory();
  ~KeepingMemory() { end(); }
  KeepingMemory(const KeepingMemory&) = delete;
  KeepingMemory& operator=(const KeepingMemory&) = delete;
  void end() noexcept;

 private:
  std::atomic<bool> ended_ = false;  // by one of the threads that share the object
};

struct GiveMemory {
  std::size_t bytes = 0;
  void operator()(void* memory) const noexcept { give_memory(memory, bytes); }
};

template <class T>
using AlignedArray = std::unique_ptr<T[], GiveMemory>;

template <class T>
AlignedArray<T> aligned_array(std::int64_t count) {
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
  return AlignedArray<T>(static_cast<T*>(take_memory(bytes)), GiveMemory{bytes});
}

// An allocator of the same memory for std::vector, but small arrays are aligned as malloc does it:
// aligned_alloc takes several times as long.
template <class T>
struct MemoryAllocator {
  using value_type = T;
  MemoryAllocator() = default;
  template <class U>
  MemoryAllocator(const MemoryAllocator<U>&) {}
  T* allocate(std::size_t count) {
    if (count * sizeof(T) > small) return static_cast<T*>(take_memory(count * sizeof(T)));
    void* memory = std::malloc(std::max<std::size_t>(count * sizeof(T), 1));
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t count) noexcept { give_memory(memory, count * sizeof(T)); }
  bool operator==(const MemoryAllocator&) const = default;

 private:
  static constexpr std::size_t small = std::size_t{64} << 10;  // which give_memory frees
};

}  // namespace sigmascope
