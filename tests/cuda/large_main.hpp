// SPDX-License-Identifier: BSD-3-Clause
// Arrays of more than 2^32 numbers, of which only some pages have memory. An access to any other
// page is a segmentation fault, and so an index of 32 bits is one.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernels/launches.cuh"
#include "matrix/sizes.hpp"
#include "runtime/handles.hpp"

namespace large {

using sigmascope::as_size;
using sigmascope::device::Stream;

// What an index of 32 bits counts.
inline constexpr std::int64_t many = std::int64_t{1} << 32;

// A number from 1 to 8 for each place, not the same 2^31 or 2^32 places further on.
inline int small_number(std::int64_t place) {
  return 1 + static_cast<int>(static_cast<std::uint64_t>(place) * 0x9e3779b97f4a7c15 >> 61);
}
// The same as a code of bf16, times a power of two.
inline std::uint16_t bf16_number(std::int64_t place, int exponent = 0) {
  const float number = static_cast<float>(small_number(place));
  std::uint32_t bits = 0;
  std::memcpy(&bits, &number, sizeof bits);
  return static_cast<std::uint16_t>((bits >> 16) + (static_cast<std::uint32_t>(exponent) << 7));
}

// Closed pages, and a last one that stays closed. All bits of those that are opened are set.
class Pages {
 public:
  explicit Pages(std::size_t bytes) : mapped_((bytes + 2 * size - 1) / size * size) {
    void* mapping =
        mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) throw std::bad_alloc();
    madvise(mapping, mapped_, MADV_NOHUGEPAGE);
    data_ = static_cast<std::byte*>(mapping);
    opened_.resize(mapped_ / size);
  }
  ~Pages() { munmap(data_, mapped_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  std::byte* data() const { return data_; }
  void open(std::size_t at, std::size_t bytes) {
    for (std::size_t page = at / size; page * size < at + bytes; ++page) {
      if (opened_[page]) continue;
      std::size_t end = page;
      while (end * size < at + bytes && !opened_[end]) opened_[end++] = true;
      allow_access(page, end);
      std::memset(data_ + page * size, 0xff, (end - page) * size);
      filled_.emplace_back(page, end);
    }
  }
  // Opens all pages, which take no memory before they are written.
  void open_zeros() { allow_access(0, mapped_ / size - 1); }
  // Whether all bits of opened pages are set.
  bool are_filled() const {
    return std::ranges::all_of(filled_, [&](const auto& run) {
      return std::all_of(data_ + run.first * size, data_ + run.second * size,
                         [](std::byte byte) { return byte == std::byte{0xff}; });
    });
  }

 private:
  static constexpr std::size_t size = 4096;

  void allow_access(std::size_t page, std::size_t end) const {
    if (mprotect(data_ + page * size, (end - page) * size, PROT_READ | PROT_WRITE) != 0)
      throw std::runtime_error("pages cannot be opened");
  }

  std::size_t mapped_;
  std::byte* data_ = nullptr;
  std::vector<bool> opened_;
  std::vector<std::pair<std::size_t, std::size_t>> filled_;
};

template <class T>
class Numbers {
 public:
  explicit Numbers(std::int64_t size) : size_(size), pages_(as_size(size) * sizeof(T)) {}

  T* data() const { return reinterpret_cast<T*>(pages_.data()); }
  void open(std::int64_t i) {
    if (i < 0 || i >= size_) throw std::out_of_range("a number of no array");
    pages_.open(as_size(i) * sizeof(T), sizeof(T));
    last_ = std::max(last_, i);
  }
  void open_zeros() { pages_.open_zeros(); }
  void set(std::int64_t i, T value) { open(i), data()[i] = value; }
  T take(std::int64_t i) {
    const T value = data()[i];
    std::memset(static_cast<void*>(data() + i), 0xff, sizeof(T));
    return value;
  }
  void expect(std::int64_t i, T expected) {
    if (const T value = take(i); value != expected)
      throw std::runtime_error("number " + std::to_string(i) + " is " + std::to_string(value) +
                               ", not " + std::to_string(expected));
  }
  // After all results have been taken: nothing else was written.
  void expect_no_more() const {
    check_reach();
    if (!pages_.are_filled()) throw std::runtime_error("another number was written");
  }
  // The mistake that a case looks for is one beyond 2^32 numbers.
  void check_reach() const {
    if (last_ < many) throw std::logic_error("a case without a number beyond 2^32");
  }

 private:
  std::int64_t size_, last_ = -1;
  Pages pages_;
};

// Calls act(e) for the elements of the last block of threads of a grid over `count` of them.
template <class Act>
void each_of_last_block(std::int64_t count, const Act& act) {
  using sigmascope::device::grid_over;
  using sigmascope::device::usual_threads;
  const std::int64_t blocks = grid_over(count).blocks, threads = usual_threads;
  for (std::int64_t start = (blocks - 1) * threads; start < count; start += blocks * threads)
    for (std::int64_t e = start; e < std::min(start + threads, count); ++e) act(e);
}

struct Case {
  const char* name;
  void (*run)(const Stream& stream);
  bool copies = false;  // else of each grid only the last block runs, and nothing is copied
};
std::vector<Case> cases_of_elements();
std::vector<Case> cases_of_sums();
std::vector<Case> cases_of_products();
std::vector<Case> cases_of_verbs();
std::vector<Case> cases_of_copies();

}  // namespace large
