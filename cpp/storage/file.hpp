// SPDX-License-Identifier: BSD-3-Clause
// An open file read at positions: no shared cursor, so any number of threads may read at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace sigmascope {

// The file ends before the bytes that a tensor claims.
class TruncatedFile : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The file is another than the one that was described.
class ChangedFile : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

class File {
 public:
  // Throws std::system_error that names the path.
  explicit File(std::string path);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  // For a process that opens the file again: where it was, and when it had last been written, in nanoseconds.
  const std::string& absolute() const { return absolute_; }
  std::int64_t modified() const { return modified_; }

  // Reads exactly `length` bytes; throws std::system_error, or TruncatedFile when the file ends early.
  void read(std::uint64_t offset, std::size_t length, std::byte* into) const;

  // A read-only mapping of [offset, offset + length); the pointer stays valid while the owner lives.
  std::shared_ptr<const std::byte> map(std::uint64_t offset, std::size_t length) const;

 private:
  std::string path_, absolute_;
  int descriptor_;
  std::uint64_t size_;
  std::int64_t modified_;
};

}  // namespace sigmascope
