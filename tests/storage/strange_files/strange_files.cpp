// SPDX-License-Identifier: BSD-3-Clause
// Preloaded by test_page_cache.py: the file systems and signals that a test machine does not have. STRANGE says which:
// "open" refuses O_DIRECT when a file is opened, "read" when it is read, "short" cuts reads short and interrupts them.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <string_view>

extern "C" std::atomic<long> strange_events;
std::atomic<long> strange_events{0};

namespace {

bool strange(std::string_view what) {
  const char* asked = std::getenv("STRANGE");
  return asked != nullptr && asked == what;
}

}  // namespace

extern "C" int open(const char* path, int flags, ...) {
  static const auto real = reinterpret_cast<int (*)(const char*, int, ...)>(::dlsym(RTLD_NEXT, "open"));
  va_list more;
  va_start(more, flags);
  const int mode = va_arg(more, int);
  va_end(more);
  if ((flags & O_DIRECT) != 0 && strange("open")) {
    ++strange_events;
    errno = EINVAL;
    return -1;
  }
  return real(path, flags, mode);
}

extern "C" ssize_t pread(int descriptor, void* into, size_t length, off_t offset) {
  static const auto real = reinterpret_cast<ssize_t (*)(int, void*, size_t, off_t)>(::dlsym(RTLD_NEXT, "pread"));
  if (strange("read") && (::fcntl(descriptor, F_GETFL) & O_DIRECT) != 0) {
    ++strange_events;
    errno = EINVAL;
    return -1;
  }
  if (strange("short") && ++strange_events % 3 == 0) {
    errno = EINTR;
    return -1;
  }
  const ssize_t got = real(descriptor, into, length, offset);
  return strange("short") && got > 8192 ? got / 2 / 512 * 512 : got;
}
