// SPDX-License-Identifier: BSD-3-Clause
#include "storage/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>
#include <system_error>
#include <utility>

namespace sigmascope {

namespace {

constexpr std::size_t line = 64;  // of the cache
// O_DIRECT takes multiples of the sector size as offsets and addresses; no disk has larger sectors.
constexpr std::size_t page = 4096;
// One read past the cache: long enough for a disk, and all that stands in the cache where O_DIRECT
// is refused.
constexpr std::size_t piece = std::size_t{8} << 20;
// Shorter runs cost a disk as much as this one does.
constexpr std::size_t short_run = 16 * page;

constexpr std::size_t whole_pages(std::size_t length) { return (length + page - 1) / page * page; }

[[noreturn]] void fail(const std::string& what, const std::string& path) {
  throw std::system_error(errno, std::generic_category(), what + " " + path);
}

struct stat status_of(int descriptor, const std::string& path) {
  struct stat status{};
  if (descriptor < 0) errno = EBADF;  // of no open file
  if (descriptor < 0 || ::fstat(descriptor, &status) != 0) fail("cannot stat", path);
  return status;
}

std::int64_t nanoseconds(const struct timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

FileState state_of(const struct stat& status) {
  return {.size = static_cast<std::uint64_t>(status.st_size),
          .modified = nanoseconds(status.st_mtim),
          .status_changed = nanoseconds(status.st_ctim),
          .links = status.st_nlink,
          .mode = status.st_mode,
          .owner = (std::uint64_t{status.st_uid} << 32) | status.st_gid};
}

std::string described(const FileState& state) {
  return std::to_string(state.size) + " bytes, written at " + std::to_string(state.modified) +
         " ns";
}

// Whether only the status changed, for no reason that is known: a write whose time was set back.
bool status_alone_changed(const FileState& then, const FileState& now) {
  return then.status_changed != now.status_changed && then.links == now.links &&
         then.mode == now.mode && then.owner == now.owner;
}

}  // namespace

File::File(std::string path, Caching caching)
    : path_(std::move(path)),
      caching_(caching),
      descriptor_(-1),
      direct_(false),
      cached_descriptor_(-1) {
  constexpr int mode = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  if (caching_ == Caching::none) descriptor_ = ::open(path_.c_str(), mode | O_DIRECT);
  direct_ = descriptor_ >= 0;
  if (!direct_) descriptor_ = ::open(path_.c_str(), mode);
  if (descriptor_ < 0) fail("cannot open", path_);
  try {
    const struct stat status = status_of(descriptor_, path_);
    if (S_ISDIR(status.st_mode)) {
      errno = EISDIR;
      fail("cannot read", path_);
    }
    if (!S_ISREG(status.st_mode)) throw NotRegularFile(path_ + ": not a regular file");
    opened_ = state_of(status);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
  std::error_code ignored;
  absolute_ = std::filesystem::absolute(path_, ignored).string();
  // Sequential read-ahead helps cached reads. For uncached reads we ask for none, since pages read
  // ahead past a tensor would stay in the page cache. This is only advice, so a failure is ignored.
  ::posix_fadvise(descriptor_, 0, 0,
                  caching_ == Caching::kept ? POSIX_FADV_SEQUENTIAL : POSIX_FADV_RANDOM);
}

void File::check_unchanged() const {
  const FileState now = state_of(status_of(descriptor_, path_));
  const bool written = now.size != opened_.size || now.modified != opened_.modified;
  if (!written && !status_alone_changed(opened_, now)) return;
  std::string what = path_ + ": the file changed while it was in use: it had " +
                     described(opened_) + "; now it has " + described(now);
  if (!written)
    what += ", but its status changed at " + std::to_string(now.status_changed) +
            " ns (it was renamed, or its time was set back after a write)";
  throw ChangedFile(what +
                    ". Numbers of both states would be mixed: wait until no program writes the "
                    "file and open it again, or use a copy");
}

File::~File() {
  if (cached_descriptor_ >= 0) {
    ::posix_fadvise(cached_descriptor_, 0, 0, POSIX_FADV_DONTNEED);
    ::close(cached_descriptor_);
  }
  ::close(descriptor_);
}

Buffer File::read(std::uint64_t offset, std::size_t length) const {
  auto memory = aligned_array<std::byte>(static_cast<std::int64_t>(room_for(length)));
  std::byte* data = read_into(memory.get(), offset, length);
  if (caching_ == Caching::none) {
    // To whole cache lines, on which it does not lie in the file: it may be read forty times, and
    // lines that are cut cost a sixth of the time each time.
    std::byte* whole = data - reinterpret_cast<std::uintptr_t>(data) % line;
    if (whole != data) std::memmove(whole, data, length);
    data = whole;
  }
  return {std::move(memory), data, length};
}

std::byte* File::read_into(std::byte* memory, std::uint64_t offset, std::size_t length) const {
  auto* start = reinterpret_cast<std::byte*>(whole_pages(reinterpret_cast<std::uintptr_t>(memory)));
  const std::size_t before =
      caching_ == Caching::none ? static_cast<std::size_t>(offset % page) : 0;
  if (caching_ == Caching::none) read_pages(offset - before, before + length, start);
  else read_cached(descriptor_, offset, length, start);
  check_unchanged();
  return start + before;
}

// Whole pages, which need not begin where the memory or the bytes do.
std::size_t ByteSource::room_for(std::size_t length) { return whole_pages(length) + 2 * page; }

std::size_t ByteSource::most_in(std::size_t room) {
  return room < 3 * page ? 0 : room / page * page - 2 * page;
}

Buffer File::read_runs(std::uint64_t offset, std::size_t length, std::size_t stride,
                       std::size_t count) const {
  if (count == 1) return read(offset, length);
  auto memory = aligned_array<std::byte>(static_cast<std::int64_t>(count * length));
  std::byte* data = memory.get();
  const int descriptor = caching_ == Caching::kept ? descriptor_
                         : length < short_run      ? through_cache()
                                                   : -1;
  // Read-ahead pays where most pages are wanted.
  const bool ask = caching_ == Caching::none && descriptor >= 0 && stride <= 4 * page;
  const std::uint64_t end = offset + (count - 1) * stride + length;
  std::uint64_t asked = offset;
  for (std::size_t i = 0; i < count; ++i) {
    if (ask && offset + i * stride >= asked && asked < end) {
      const std::uint64_t next = std::min<std::uint64_t>(asked + piece / 4, end);
      ::posix_fadvise(descriptor, static_cast<off_t>(asked), static_cast<off_t>(next - asked),
                      POSIX_FADV_WILLNEED);
      asked = next;
    }
    if (descriptor >= 0) read_cached(descriptor, offset + i * stride, length, data + i * length);
    else std::memcpy(data + i * length, read(offset + i * stride, length).data, length);
  }
  check_unchanged();
  return {std::move(memory), data, count * length};
}

// Another descriptor of the same file, without O_DIRECT; -1 where /proc is not there.
int File::through_cache() const {
  std::call_once(reopened_, [this] {
    cached_descriptor_ =
        ::open(("/proc/self/fd/" + std::to_string(descriptor_)).c_str(), O_RDONLY | O_CLOEXEC);
    // No read-ahead: its pages may arrive after those of the file were dropped, and would stay.
    if (cached_descriptor_ >= 0) ::posix_fadvise(cached_descriptor_, 0, 0, POSIX_FADV_RANDOM);
  });
  return cached_descriptor_;
}

void File::read_cached(int descriptor, std::uint64_t offset, std::size_t length,
                       std::byte* into) const {
  while (length > 0) {
    const std::size_t wanted = std::min<std::size_t>(length, std::size_t{1} << 30);
    const ssize_t got = ::pread(descriptor, into, wanted, static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      fail("cannot read", path_);
    }
    if (got == 0) ends_at(offset, length);
    offset += static_cast<std::uint64_t>(got);
    into += got;
    length -= static_cast<std::size_t>(got);
  }
}

// [start, start + length), from the start of a page into whole pages of memory.
void File::read_pages(std::uint64_t start, std::size_t length, std::byte* into) const {
  for (std::size_t have = 0; have < length;) {
    // A read that was cut short within a page begins again at the page.
    const std::size_t from = have / page * page;
    const std::size_t wanted = std::min(whole_pages(length - from), piece);
    const auto at = static_cast<off_t>(start + from);
    const bool direct = direct_;
    const ssize_t got = ::pread(descriptor_, into + from, wanted, at);
    if (got < 0) {
      if (errno == EINTR) continue;
      // Some file systems refuse O_DIRECT only now.
      if (errno != EINVAL || !direct || ::fcntl(descriptor_, F_SETFL, 0) != 0)
        fail("cannot read", path_);
      direct_ = false;
      continue;
    }
    if (!direct) ::posix_fadvise(descriptor_, at, static_cast<off_t>(wanted), POSIX_FADV_DONTNEED);
    const std::size_t now = from + static_cast<std::size_t>(got);
    if (now <= have) ends_at(start + have, length - have);
    have = now;
  }
}

void File::ends_at(std::uint64_t position, std::size_t missing) const {
  throw TruncatedFile(path_ + " ends at byte " + std::to_string(position) + ", " +
                      std::to_string(missing) + " bytes before the end of a tensor");
}

std::shared_ptr<const std::byte> File::map(std::uint64_t offset, std::size_t length) const {
  const auto size = static_cast<std::uint64_t>(status_of(descriptor_, path_).st_size);
  if (offset + length > size)
    throw TruncatedFile(path_ + " has " + std::to_string(size) + " bytes, but a tensor needs " +
                        std::to_string(offset + length));
  // mmap wants whole pages: map from the page that holds the first byte.
  const auto unit = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t before = offset % unit;
  const std::size_t whole = length + static_cast<std::size_t>(before);
  if (whole == 0) return {};
  void* start = ::mmap(nullptr, whole, PROT_READ, MAP_PRIVATE, descriptor_,
                       static_cast<off_t>(offset - before));
  if (start == MAP_FAILED) fail("cannot map", path_);
  std::shared_ptr<void> mapping(start, [whole](void* p) { ::munmap(p, whole); });
  return {mapping, static_cast<const std::byte*>(start) + before};
}

Bytes mapped(const std::shared_ptr<const File>& file, std::uint64_t offset, std::uint64_t length) {
  return Bytes::mapped(file, offset, length, file->map(offset, length));
}

}  // namespace sigmascope
