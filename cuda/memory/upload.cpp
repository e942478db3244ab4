// SPDX-License-Identifier: BSD-3-Clause
#include "memory/upload.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/bytes.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope::device {

void Upload::start(std::byte* to, std::size_t bytes) {
  to_ = to, filled_ = added_ = 0;
  expected_ = std::min(ByteSource::room_for(bytes), most_);
}

void Upload::add(const Elements& elements) {
  for (std::int64_t done = 0; done < elements.count;) {
    if (current().bytes.size() - filled_ < as_size(elements.size)) flush();
    const PinnedBuffer& buffer = current();
    const auto room = static_cast<std::int64_t>(buffer.bytes.size() - filled_);
    const std::int64_t few = std::min(elements.count - done, room / elements.size);
    std::byte* to = buffer.bytes.data() + filled_;
    const std::byte* from = elements.first + done * elements.step;
    if (elements.step == elements.size) std::memcpy(to, from, as_size(few * elements.size));
    else
      for (std::int64_t i = 0; i < few; ++i)
        std::memcpy(to + i * elements.size, from + i * elements.step, as_size(elements.size));
    filled_ += as_size(few * elements.size), added_ += as_size(few * elements.size);
    done += few;
  }
}

void Upload::add(const Bytes& file, std::uint64_t offset, std::size_t bytes) {
  flush();
  while (bytes > 0) {
    const PinnedBuffer& buffer = current();
    const std::size_t few = std::min(bytes, ByteSource::most_in(buffer.bytes.size()));
    copy(file.read_into(buffer.bytes.data(), offset, few), few);
    offset += few, bytes -= few, added_ += few;
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

// Copies bytes of the buffer, and goes on to the next one.
void Upload::copy(const std::byte* from, std::size_t bytes) {
  PinnedBuffer& buffer = buffers_[next_];
  check(copy_bytes(to_, from, bytes, cudaMemcpyHostToDevice, stream_.handle()),
        "cudaMemcpyAsync of a panel");
  buffer.used = true;
  buffer.copied.record(stream_);
  next_ = (next_ + 1) % buffers_.size();
  to_ += bytes, filled_ = 0;
}

void Upload::flush() {
  if (filled_ > 0) copy(buffers_[next_].bytes.data(), filled_);
}

}  // namespace sigmascope::device
