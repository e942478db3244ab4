// SPDX-License-Identifier: BSD-3-Clause
// An open file read at positions: no shared cursor, so any number of threads may read at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

#include "storage/bytes.hpp"

namespace sigmascope {

// The file ends before the bytes that a tensor claims.
class TruncatedFile : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A pipe, a device or a socket: no bytes at positions.
class NotRegularFile : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The file is not the one that was described.
class ChangedFile : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// kept: read pages stay in the page cache. none: they do not.
enum class Caching : std::uint8_t {
  kept,  // the kernel reads ahead too
  // By O_DIRECT. Where the file system refuses that, the pages of a read are dropped after it.
  none,
};

// What a write leaves behind: sizes in bytes, times in nanoseconds. The time of the last change of
// the status cannot be set back, but is that of renaming and linking as well.
struct FileState {
  std::uint64_t size = 0;
  std::int64_t modified = 0;
  std::int64_t status_changed = 0;
  std::uint64_t links = 0;  // and mode and owner: changes of the status that change no byte
  std::uint64_t mode = 0;
  std::uint64_t owner = 0;
};

class File final : public ByteSource {
 public:
  // Never waits, as opening a pipe would. Throws std::system_error that names the path, or
  // NotRegularFile.
  explicit File(std::string path, Caching caching = Caching::kept);
  ~File() override;

  const std::string& name() const override { return path_; }
  Caching caching() const { return caching_; }
  std::uint64_t size() const override { return opened_.size; }
  // For a process that opens the file again: where it was, and when it had last been written, in
  // nanoseconds.
  const std::string& absolute() const { return absolute_; }
  std::int64_t modified() const { return opened_.modified; }
  void check_unchanged() const override;

  // Exactly [offset, offset + length); throws std::system_error, TruncatedFile when the file ends
  // early, or ChangedFile: bytes that a read returns are those of the file that was opened. The
  // system notes the time of a write before it writes, so that a look after the read suffices. Past
  // the cache too the bytes come straight to where they stay, in the whole pages that hold them: no
  // second buffer.
  Buffer read(std::uint64_t offset, std::size_t length) const override;
  std::byte* read_into(std::byte* memory, std::uint64_t offset, std::size_t length) const override;

  // Past the cache a run comes by way of a buffer of its size; short ones, of whose pages others
  // will want the rest, come through the cache, and the file's pages are dropped from it when the
  // file is closed.
  Buffer read_runs(std::uint64_t offset, std::size_t length, std::size_t stride,
                   std::size_t count) const override;

  // A read-only mapping of [offset, offset + length); the pointer stays valid while the owner
  // lives. Throws TruncatedFile when the file is shorter now; where it shrinks later, the system
  // raises SIGBUS.
  std::shared_ptr<const std::byte> map(std::uint64_t offset, std::size_t length) const;

 private:
  void read_cached(int descriptor, std::uint64_t offset, std::size_t length, std::byte* into) const;
  void read_pages(std::uint64_t start, std::size_t length, std::byte* into) const;
  int through_cache() const;
  [[noreturn]] void ends_at(std::uint64_t position, std::size_t missing) const;

  std::string path_, absolute_;
  Caching caching_;
  int descriptor_;
  FileState opened_;
  mutable std::atomic<bool> direct_;  // the descriptor's O_DIRECT
  mutable std::once_flag reopened_;
  mutable int cached_descriptor_;  // of the same file, when runs needed it
};

// Bytes of a file, mapped.
Bytes mapped(const std::shared_ptr<const File>& file, std::uint64_t offset, std::uint64_t length);

}  // namespace sigmascope
