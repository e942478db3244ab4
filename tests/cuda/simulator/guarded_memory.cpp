// SPDX-License-Identifier: BSD-3-Clause
#include "simulator/guarded_memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "simulator/sanitizers.hpp"

namespace sigmascope::simulator {

namespace {

constexpr std::size_t alignment = 16;
constexpr std::size_t large = std::size_t{4} << 20;

std::size_t page_size() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

std::size_t rounded_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

GuardedMemory::GuardedMemory(std::size_t bytes, Content content)
    : mapped_(rounded_up(std::max<std::size_t>(bytes, 1), page_size()) + 2 * page_size()),
      size_(bytes) {
  void* mapping =
      mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mapping_ = static_cast<std::byte*>(mapping);
  // Large pages: access is changed at every launch, which costs the same for a page of any size.
  if (mapped_ >= large) madvise(mapping, mapped_, MADV_HUGEPAGE);
  allow_access(true);
  data_ = mapping_ + mapped_ - page_size() - rounded_up(bytes, alignment);
  if (content == Content::filled) fill();
}

GuardedMemory::~GuardedMemory() {
  permit_bytes(inside(), inside_size());
  munmap(mapping_, mapped_);
}

void GuardedMemory::fill() const {
  permit_bytes(inside(), inside_size());
  std::memset(inside(), 0xff, inside_size());
  forbid_bytes(inside(), inside_size());
  permit_bytes(data_, size_);
}

void GuardedMemory::allow_access(bool allowed) const {
  mprotect(inside(), inside_size(), allowed ? PROT_READ | PROT_WRITE : PROT_NONE);
}

std::byte* GuardedMemory::inside() const { return mapping_ + page_size(); }

std::size_t GuardedMemory::inside_size() const { return mapped_ - 2 * page_size(); }

}  // namespace sigmascope::simulator
