// SPDX-License-Identifier: BSD-3-Clause
// A run of bytes, in memory (borrowed, mapped or loaded) or still in a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "storage/file.hpp"

namespace sigmascope {

class Bytes {
 public:
  // `owner` keeps the memory alive: a NumPy array, a DLPack tensor, a mapping, a loaded buffer.
  static Bytes in_memory(const std::byte* data, std::uint64_t length,
                         std::shared_ptr<const void> owner) {
    Bytes bytes;
    bytes.data_ = data;
    bytes.length_ = length;
    bytes.owner_ = std::move(owner);
    return bytes;
  }

  static Bytes in_file(std::shared_ptr<const File> file, std::uint64_t offset,
                       std::uint64_t length) {
    Bytes bytes;
    bytes.file_ = std::move(file);
    bytes.offset_ = offset;
    bytes.length_ = length;
    return bytes;
  }

  // nullptr while the bytes are in a file.
  const std::byte* data() const { return data_; }
  std::uint64_t size() const { return length_; }
  // The file that holds them or that they were mapped from, and their offset in it; nullptr: they
  // are in memory alone.
  const File* file() const { return file_.get(); }
  std::uint64_t offset() const { return offset_; }

  // Some of the bytes in a file, read into memory of their own; see File.
  Buffer read(std::uint64_t offset, std::size_t length) const {
    return file_->read(offset_ + offset, length);
  }
  Buffer read_runs(std::uint64_t offset, std::size_t length, std::size_t stride,
                   std::size_t count) const {
    return file_->read_runs(offset_ + offset, length, stride, count);
  }

  // The same bytes, mapped.
  Bytes map() const {
    if (data_ != nullptr) return *this;
    auto mapping = file_->map(offset_, length_);
    Bytes bytes = in_memory(mapping.get(), length_, mapping);
    bytes.file_ = file_;
    bytes.offset_ = offset_;
    return bytes;
  }

 private:
  const std::byte* data_ = nullptr;
  std::shared_ptr<const void> owner_;
  std::shared_ptr<const File> file_;
  std::uint64_t offset_ = 0;
  std::uint64_t length_ = 0;
};

}  // namespace sigmascope
