// SPDX-License-Identifier: BSD-3-Clause
// Memory between two guard pages. Its end touches the second one, to 16 bytes; all bytes are 0xff
// at first, which is NaN in every floating-point format.
#pragma once

#include <cstddef>

namespace sigmascope::simulator {

enum class Content { filled, undefined };

class GuardedMemory {
 public:
  explicit GuardedMemory(std::size_t bytes, Content content = Content::filled);
  ~GuardedMemory();
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool contains(const void* at) const {
    const auto* byte = static_cast<const std::byte*>(at);
    return byte >= data_ && byte < data_ + size_;
  }
  // Sets all bytes to 0xff.
  void fill() const;
  // Whether the bytes may be read and written at all.
  void allow_access(bool allowed) const;

  // All that lies between the guard pages: a stack grows down from its end.
  std::byte* inside() const;
  std::size_t inside_size() const;

 private:
  std::byte* mapping_ = nullptr;
  std::size_t mapped_ = 0;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace sigmascope::simulator
