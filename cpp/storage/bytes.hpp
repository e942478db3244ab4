// SPDX-License-Identifier: BSD-3-Clause
// A run of bytes, in memory (borrowed, mapped or loaded), on a device, or still in a file: in any
// ByteSource.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "storage/byte_source.hpp"

namespace sigmascope {

// The place of bytes, and who reads them: the number of a device, or the host.
inline constexpr int on_host = -1;

inline std::string place_name(int place) {
  return place == on_host ? "the host" : "cuda:" + std::to_string(place);
}

// Bytes are wanted where they cannot be read.
class OtherDevice : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

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

  // The same in the memory of a device.
  static Bytes on_device(const std::byte* data, std::uint64_t length, int device,
                         std::shared_ptr<const void> owner) {
    Bytes bytes = in_memory(data, length, std::move(owner));
    bytes.device_ = device;
    return bytes;
  }

  static Bytes in_file(std::shared_ptr<const ByteSource> source, std::uint64_t offset,
                       std::uint64_t length) {
    Bytes bytes;
    bytes.source_ = std::move(source);
    bytes.offset_ = offset;
    bytes.length_ = length;
    return bytes;
  }

  // Bytes in a file that a mapping has in memory, too.
  static Bytes mapped(std::shared_ptr<const ByteSource> source, std::uint64_t offset,
                      std::uint64_t length, std::shared_ptr<const std::byte> mapping) {
    Bytes bytes = in_file(std::move(source), offset, length);
    bytes.data_ = mapping.get();
    bytes.owner_ = std::move(mapping);
    return bytes;
  }

  // nullptr while the bytes are in a file. A device reads its own memory and, by copies, that of
  // the host; throws OtherDevice if `reader` cannot read them.
  const std::byte* data(int reader = on_host) const {
    if (device_ != on_host && device_ != reader)
      throw OtherDevice("the numbers of a matrix on " + place_name(device_) + " are needed on " +
                        place_name(reader) + "; copy its arrays there first (to the host: " +
                        "x.cpu() of torch, x.get() of CuPy)");
    return data_;
  }
  bool only_in_file() const { return data_ == nullptr; }
  int device() const { return device_; }  // or on_host
  const void* owner() const { return owner_.get(); }
  std::uint64_t size() const { return length_; }
  // The file that holds them or that they were mapped from, and their offset in it; nullptr: they
  // are in memory alone.
  const ByteSource* source() const { return source_.get(); }
  std::uint64_t offset() const { return offset_; }

  // Some of the bytes in a file, read into memory of their own; see ByteSource.
  Buffer read(std::uint64_t offset, std::size_t length) const {
    return source_->read(offset_ + offset, length);
  }
  std::byte* read_into(std::byte* memory, std::uint64_t offset, std::size_t length) const {
    return source_->read_into(memory, offset_ + offset, length);
  }
  Buffer read_runs(std::uint64_t offset, std::size_t length, std::size_t stride,
                   std::size_t count) const {
    return source_->read_runs(offset_ + offset, length, stride, count);
  }

 private:
  const std::byte* data_ = nullptr;
  std::shared_ptr<const void> owner_;
  std::shared_ptr<const ByteSource> source_;
  std::uint64_t offset_ = 0;
  std::uint64_t length_ = 0;
  int device_ = on_host;
};

}  // namespace sigmascope
