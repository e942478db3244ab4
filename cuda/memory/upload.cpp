// SPDX-License-Identifier: BSD-3-Clause
#include "memory/upload.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/blocks/block.hpp"
#include "kernels/bytes.hpp"
#include "matrix/sizes.hpp"
#include "storage/file.hpp"

namespace sigmascope::device {

namespace {

// Threads that fill a buffer; and into how many parts at most a file is read, of at least so many
// bytes, with the pages before and behind each.
constexpr std::size_t most_fillers = 4, most_parts = 32, least_part = std::size_t{16} << 10;

// Elements [first, end) of all, without gaps.
void gather(const Elements& from, std::int64_t first, std::int64_t end, std::byte* to) {
  for (std::int64_t e = first; e < end;) {
    const std::int64_t i = e % from.count, few = std::min(from.count - i, end - e);
    const std::byte* at = from.first + e / from.count * from.line_step + i * from.step;
    if (from.step == from.size) std::memcpy(to, at, as_size(few * from.size));
    else
      for (std::int64_t k = 0; k < few; ++k)
        std::memcpy(to + k * from.size, at + k * from.step, as_size(from.size));
    to += few * from.size, e += few;
  }
}

}  // namespace

void Upload::start(std::byte* to, std::size_t bytes) {
  to_ = to, filled_ = added_ = 0;
  expected_ = std::min(ByteSource::room_for(bytes), most_);
}

void Upload::add(const Elements& elements) {
  const std::int64_t all = elements.lines * elements.count, size = elements.size;
  for (std::int64_t done = 0; done < all;) {
    if (current().bytes.size() - filled_ < as_size(size)) flush();
    const PinnedBuffer& buffer = current();
    const auto room = static_cast<std::int64_t>(buffer.bytes.size() - filled_);
    const std::int64_t few = std::min(all - done, room / size);
    std::byte* to = buffer.bytes.data() + filled_;
    const std::int64_t part =
        std::max<std::int64_t>(static_cast<std::int64_t>(most_ / fillers()) / size, 1);
    fill(as_size(chunks(few, part)), [&](std::size_t i) {
      const std::int64_t first = static_cast<std::int64_t>(i) * part,
                         end = std::min(first + part, few);
      gather(elements, done + first, done + end, to + first * size);
    });
    filled_ += as_size(few * size), added_ += as_size(few * size);
    done += few;
  }
}

void Upload::add(const Bytes& file, std::uint64_t offset, std::size_t bytes) {
  flush();
  // Each thread reads to a part of the buffer of its own, since a read may begin anywhere in it. Of
  // other sources, which may be far away, each read is a request.
  const bool by_parts = dynamic_cast<const File*>(file.source()) != nullptr;
  while (bytes > 0) {
    std::byte* const memory = current().bytes.data();
    const std::size_t room = buffers_[next_].bytes.size();
    const std::size_t least = std::max(most_ / most_parts, least_part);
    const std::size_t part = by_parts ? std::min(std::max(room / fillers(), least), room) : room,
                      few = ByteSource::most_in(part);
    const std::size_t count = std::min(room / part, (bytes + few - 1) / few);
    std::array<std::byte*, most_fillers> read{};
    fill(count, [&](std::size_t i) {
      read[i] = file.read_into(memory + i * part, offset + i * few, std::min(few, bytes - i * few));
    });
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t length = std::min(few, bytes);
      copy(read[i], length);
      offset += length, bytes -= length, added_ += length;
    }
    leave_buffer();
  }
}

void Upload::align(std::size_t alignment) {
  const std::size_t left_out = (alignment - added_ % alignment) % alignment;
  added_ += left_out;
  if (filled_ > 0 && filled_ + left_out <= buffers_[next_].bytes.size()) {
    filled_ += left_out;
  } else {
    flush();
    to_ += left_out;
  }
}

void Upload::finish(Event& copied) {
  flush();
  copied.record(stream_);
}

// The buffer that is filled, free of earlier copies.
Upload::PinnedBuffer& Upload::current() {
  PinnedBuffer& buffer = buffers_[next_];
  if (buffer.used) buffer.copied.wait();
  buffer.used = false;
  if (buffer.bytes.size() < expected_) {
    buffer.bytes = {};
    buffer.bytes = pinned_memory().piece(expected_);
  }
  return buffer;
}

// Copies bytes of the buffer.
void Upload::copy(const std::byte* from, std::size_t bytes) {
  check(copy_bytes(to_, from, bytes, cudaMemcpyHostToDevice, stream_.handle()),
        "cudaMemcpyAsync of a panel");
  buffers_[next_].used = true;
  to_ += bytes, filled_ = 0;
}

// Goes on to the next one, when all copies from this one have been asked for.
void Upload::leave_buffer() {
  buffers_[next_].copied.record(stream_);
  next_ = (next_ + 1) % buffers_.size();
}

void Upload::flush() {
  if (filled_ == 0) return;
  copy(buffers_[next_].bytes.data(), filled_);
  leave_buffer();
}

std::size_t Upload::fillers() const {
  return pool_ == nullptr ? 1 : std::min(as_size(pool_->threads()), most_fillers);
}

void Upload::fill(std::size_t count, const std::function<void(std::size_t i)>& act) {
  if (pool_ == nullptr || count == 1)
    for (std::size_t i = 0; i < count; ++i) act(i);
  else
    pool_->run(static_cast<std::int64_t>(count),
               [&](std::int64_t i, int) { act(static_cast<std::size_t>(i)); });
}

}  // namespace sigmascope::device
