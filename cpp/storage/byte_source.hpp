// SPDX-License-Identifier: BSD-3-Clause
// Bytes at positions: of a file, or of what somebody else reads for us.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "storage/memory.hpp"

namespace sigmascope {

// Bytes of a source, in memory of their own.
struct Buffer {
  AlignedArray<std::byte> memory;
  std::byte* data = nullptr;  // within `memory`
  std::size_t size = 0;
};

// There is no shared cursor, so any number of threads may read at once.
class ByteSource {
 public:
  ByteSource() = default;
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;
  virtual ~ByteSource() = default;

  virtual const std::string& name() const = 0;  // for messages
  virtual std::uint64_t size() const = 0;       // when it was opened

  // Throws ChangedFile if the bytes are no longer those that were there when it was opened, as far
  // as that can be known. Reads of a file check that themselves.
  virtual void check_unchanged() const {}

  // Makes reads that are under way in other threads end soon, with an exception, as after Ctrl-C.
  virtual void stop_reading() const {}

  // Exactly [offset, offset + length), or an exception.
  virtual Buffer read(std::uint64_t offset, std::size_t length) const = 0;

  // The same into memory of at least room_for(length) bytes; the place of the first one.
  virtual std::byte* read_into(std::byte* memory, std::uint64_t offset,
                               std::size_t length) const = 0;
  static std::size_t room_for(std::size_t length);
  // The most bytes that can be read into so many.
  static std::size_t most_in(std::size_t room);

  // `count` runs of `length` bytes, `stride` apart in the source, one after another in memory.
  virtual Buffer read_runs(std::uint64_t offset, std::size_t length, std::size_t stride,
                           std::size_t count) const = 0;
};

}  // namespace sigmascope
