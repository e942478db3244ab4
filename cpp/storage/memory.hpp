// SPDX-License-Identifier: BSD-3-Clause
// Memory for large arrays of numbers: pages of their own, which go back to the system when they are
// freed. Among smaller things in the heaps of the C library, one for each thread, they would leave
// holes that it keeps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace sigmascope {

// Not initialised, aligned to 64 bytes; in huge pages where that is most of it: fewer faults, fewer
// misses of the TLB. What is large starts at a page. The last few that were freed are kept, with
// their pages: a search asks for the same sizes again and again. Throws std::bad_alloc.
void* take_memory(std::size_t bytes);
void give_memory(void* memory, std::size_t bytes) noexcept;

// While there is one of these, all that is freed is kept, up to what was once held at the same time
// (or what is kept anyway): the process grows no larger, and what is read next finds pages that are
// there, which need not be cleared.
class KeepingMemory {
 public:
  KeepingMemory();
  ~KeepingMemory() { end(); }
  KeepingMemory(const KeepingMemory&) = delete;
  KeepingMemory& operator=(const KeepingMemory&) = delete;
  void end() noexcept;

 private:
  bool ended_ = false;
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

// The same for std::vector.
template <class T>
struct MemoryAllocator {
  using value_type = T;
  MemoryAllocator() = default;
  template <class U>
  MemoryAllocator(const MemoryAllocator<U>&) {}
  T* allocate(std::size_t count) { return static_cast<T*>(take_memory(count * sizeof(T))); }
  void deallocate(T* memory, std::size_t count) noexcept { give_memory(memory, count * sizeof(T)); }
  bool operator==(const MemoryAllocator&) const = default;
};

}  // namespace sigmascope
