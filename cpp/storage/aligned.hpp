// SPDX-License-Identifier: BSD-3-Clause
// Memory for large arrays of numbers.
#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace sigmascope {

struct FreeDeleter {
  void operator()(void* p) const { std::free(p); }
};

template <class T>
using AlignedArray = std::unique_ptr<T[], FreeDeleter>;

// Aligned to 64 bytes or as asked, not initialised; in huge pages where that is most of it: fewer faults, fewer misses
// of the TLB.
template <class T>
AlignedArray<T> aligned_array(std::int64_t count, std::size_t alignment = 64) {
  constexpr std::size_t page = std::size_t{2} << 20;
  const std::size_t bytes = std::max(static_cast<std::size_t>(count) * sizeof(T), alignment);
  const std::size_t unit = bytes >= 4 * page ? page : alignment;
  void* memory = std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
  if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  if (unit == page) madvise(memory, bytes / page * page, MADV_HUGEPAGE);
#endif
  return AlignedArray<T>(static_cast<T*>(memory));
}

}  // namespace sigmascope
