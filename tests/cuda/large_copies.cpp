// SPDX-License-Identifier: BSD-3-Clause
// Copies of more than 2^32 bytes between the host and a device, through pinned memory.
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <span>

#include "large_main.hpp"
#include "memory/staging.hpp"
#include "memory/upload.hpp"
#include "storage/file.hpp"

namespace large {

namespace {

using namespace sigmascope;
using namespace sigmascope::device;

constexpr std::size_t part = std::size_t{8} << 20, repeats = many / part, all = many + part;

// 2^32 bytes that are the same 8 MiB of memory again and again, and 8 MiB behind them.
class Repeated {
 public:
  Repeated() {
    const int file = memfd_create("repeated", 0);
    void* mapping =
        mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (file < 0 || ftruncate(file, 2 * part) != 0 || mapping == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<std::byte*>(mapping);
    for (std::size_t i = 0; i <= repeats; ++i)
      if (mmap(data_ + i * part, part, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file,
               i < repeats ? 0 : part) == MAP_FAILED)
        throw std::bad_alloc();
    close(file);
  }
  ~Repeated() { munmap(data_, all); }
  Repeated(const Repeated&) = delete;
  Repeated& operator=(const Repeated&) = delete;

  std::byte* data() const { return data_; }
  std::span<std::byte> repeated() const { return {data_, part}; }
  std::span<std::byte> last() const { return {data_ + many, part}; }

 private:
  std::byte* data_ = nullptr;
};

std::byte byte_at(std::size_t i) {
  return static_cast<std::byte>(small_number(static_cast<std::int64_t>(i)));
}

// Bytes that differ behind the first 2^32.
void set_bytes_of(const Repeated& from) {
  for (std::size_t i = 0; i < part; ++i) from.last()[i] = byte_at(i);
}
void expect_bytes_of(const Repeated& to) {
  for (std::size_t i = 0; i < part; ++i)
    if (to.last()[i] != byte_at(i) || to.repeated()[i] != std::byte{0})
      throw std::runtime_error("byte " + std::to_string(i) + " is another one");
}

// The numbers of one line.
void upload_a_long_line(const Stream& stream) {
  const Repeated from, to;
  set_bytes_of(from);
  Upload upload(stream);
  Event copied;
  upload.start(to.data(), all);
  upload.add({from.data(), 1, all, 1, 0, 1});
  upload.finish(copied);
  stream.wait();
  expect_bytes_of(to);
}

// An element, and others that are far from each other, behind 2^32 numbers that are left out; and
// a number of a file.
void upload_far_elements(const Stream& stream) {
  constexpr std::int64_t lines = 3, count = 5, size = sizeof(double), line = many + 9,
                         step = many / 2 + 5, bytes = lines * count * size;
  Numbers<double> from(lines * line + count * step), to(many + lines * count + 1);
  for (std::int64_t i = 0; i < lines; ++i)
    for (std::int64_t j = 0; j < count; ++j)
      from.set(i * line + j * step, small_number(i * line + j * step));
  to.open(0);
  for (std::int64_t e = 0; e <= lines * count; ++e) to.open(many + e);
  const int file = memfd_create("numbers", 0);
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  const double in_file = 7;
  if (pwrite(file, &in_file, sizeof in_file, many + 3) != sizeof in_file) throw std::bad_alloc();
  const auto stored = Bytes::in_file(std::make_shared<const File>(path, Caching::kept), 3,
                                     static_cast<std::uint64_t>(many) + sizeof in_file);
  Upload upload(stream);
  Event copied;
  const auto* first = reinterpret_cast<const std::byte*>(from.data());
  upload.start(reinterpret_cast<std::byte*>(to.data()), as_size(bytes));
  upload.add({first, 1, 1, size, 0, 0});
  upload.align(as_size(many * size));
  upload.add({first, lines, count, size, line * size, step * size});
  upload.add(stored, static_cast<std::uint64_t>(many), sizeof in_file);
  upload.finish(copied);
  stream.wait();
  to.expect(0, small_number(0));
  for (std::int64_t i = 0; i < lines; ++i)
    for (std::int64_t j = 0; j < count; ++j)
      to.expect(many + i * count + j, small_number(i * line + j * step));
  to.expect(many + lines * count, in_file);
  close(file);
  from.check_reach(), to.expect_no_more();
}

void receive_a_large_result(const Stream& stream) {
  const Repeated from, to;
  set_bytes_of(from);
  Staging().receive(to.data(), from.data(), all, stream);
  expect_bytes_of(to);
}

}  // namespace

std::vector<Case> cases_of_copies() {
  return {{"upload of a long line", upload_a_long_line, true},
          {"upload of far elements", upload_far_elements, true},
          {"a large result", receive_a_large_result, true}};
}

}  // namespace large
