// SPDX-License-Identifier: BSD-3-Clause
#include "storage/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace sigmascope {

namespace {

[[noreturn]] void fail(const std::string& what, const std::string& path) {
  throw std::system_error(errno, std::generic_category(), what + " " + path);
}

}  // namespace

File::File(std::string path) : path_(std::move(path)), descriptor_(-1), size_(0), modified_(0) {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) fail("cannot open", path_);
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) {
    ::close(descriptor_);
    fail("cannot stat", path_);
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
  modified_ = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  std::error_code ignored;
  absolute_ = std::filesystem::absolute(path_, ignored).string();
  // Panels are read from front to back: a longer read-ahead steadies a disk. Advice alone, so that failing is no error.
  ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);
}

File::~File() { ::close(descriptor_); }

void File::read(std::uint64_t offset, std::size_t length, std::byte* into) const {
  while (length > 0) {
    const std::size_t wanted = std::min<std::size_t>(length, std::size_t{1} << 30);
    const ssize_t got = ::pread(descriptor_, into, wanted, static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      fail("cannot read", path_);
    }
    if (got == 0)
      throw TruncatedFile(path_ + " ends at byte " + std::to_string(offset) + ", " + std::to_string(length) +
                          " bytes before the end of a tensor");
    offset += static_cast<std::uint64_t>(got);
    into += got;
    length -= static_cast<std::size_t>(got);
  }
}

std::shared_ptr<const std::byte> File::map(std::uint64_t offset, std::size_t length) const {
  if (offset + length > size_)
    throw TruncatedFile(path_ + " has " + std::to_string(size_) + " bytes, a tensor needs " +
                        std::to_string(offset + length));
  // mmap wants whole pages: map from the page that holds the first byte.
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t before = offset % page;
  const std::size_t whole = length + static_cast<std::size_t>(before);
  if (whole == 0) return {};
  void* start = ::mmap(nullptr, whole, PROT_READ, MAP_PRIVATE, descriptor_, static_cast<off_t>(offset - before));
  if (start == MAP_FAILED) fail("cannot map", path_);
  std::shared_ptr<void> mapping(start, [whole](void* p) { ::munmap(p, whole); });
  return {mapping, static_cast<const std::byte*>(start) + before};
}

}  // namespace sigmascope
