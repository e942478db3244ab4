// SPDX-License-Identifier: BSD-3-Clause
// Copies of large arrays to a device, through pinned memory: while a buffer is copied, the next one
// is filled, by several threads: one fills it at a third of the rate at which the link empties it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "kernels/blocks/thread_pool.hpp"
#include "memory/pinned_memory.hpp"
#include "runtime/handles.hpp"
#include "storage/bytes.hpp"

namespace sigmascope::device {

// Elements of memory in lines: those of a line are a step apart, and so are the lines, of any sign.
struct Elements {
  const std::byte* first;
  std::int64_t lines, count, size;  // `count` of a line
  std::int64_t line_step, step;
};

class Upload {
 public:
  // Bytes of a buffer. No bit depends on it.
  static constexpr std::size_t usual_buffer = std::size_t{8} << 20;

  // Copies in the order of a stream, which must have ended before the buffers go.
  explicit Upload(const Stream& stream, std::size_t most = usual_buffer)
      : stream_(stream), most_(most) {}

  // Fills buffers by the threads of a pool, which lasts as long as the copies.
  void fill_by(ThreadPool& pool) { pool_ = &pool; }

  // All that is added from here on comes to `to`, one after the other. `bytes` are expected.
  void start(std::byte* to, std::size_t bytes);
  void add(const Elements& elements);
  // Some of the bytes of a file, read into the pinned memory.
  void add(const Bytes& file, std::uint64_t offset, std::size_t bytes);
  // Adds bytes of any content, so that a multiple of `alignment` of them have been added.
  void align(std::size_t alignment);
  // Asks for the last copy; `copied` marks its end.
  void finish(Event& copied);

 private:
  struct PinnedBuffer {
    PinnedMemory::Piece bytes;
    Event copied;
    bool used = false;
  };

  PinnedBuffer& current();
  void copy(const std::byte* from, std::size_t bytes);
  void leave_buffer();
  void flush();
  // The most threads that fill a buffer, and act(i) for i < count by them.
  std::size_t fillers() const;
  void fill(std::size_t count, const std::function<void(std::size_t i)>& act);

  const Stream& stream_;
  const std::size_t most_;
  ThreadPool* pool_ = nullptr;
  std::array<PinnedBuffer, 3> buffers_;
  std::size_t next_ = 0;
  std::byte* to_ = nullptr;  // of the bytes in the buffer
  std::size_t filled_ = 0;   // of it
  std::size_t added_ = 0;    // since the start
  std::size_t expected_ = 0;
};

}  // namespace sigmascope::device
