// SPDX-License-Identifier: BSD-3-Clause
// Copies of small things between the host and a device in the order of one stream, through pinned
// memory that is not used again before a copy has ended.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/bytes.hpp"
#include "memory/pinned_memory.hpp"
#include "runtime/handles.hpp"

namespace sigmascope::device {

// Bytes of a large matrix that are copied at a time.
inline constexpr std::int64_t copied_at_once = std::int64_t{16} << 20;

class Staging {
 public:
  // Pinned memory for so many bytes, free to be filled.
  std::byte* to_fill(std::size_t bytes) {
    Slot& slot = slots_[next_];
    if (slot.used) slot.copied.wait();
    slot.used = false;
    if (slot.bytes.size() < std::max<std::size_t>(bytes, 1)) {
      slot.bytes = {};
      slot.bytes = pinned_memory().piece(bytes);
    }
    return slot.bytes.data();
  }

  // Copies what was filled last to the device.
  void send(void* to, std::size_t bytes, const Stream& stream) {
    Slot& slot = slots_[next_];
    check(copy_bytes(to, slot.bytes.data(), bytes, cudaMemcpyHostToDevice, stream.handle()),
          "cudaMemcpyAsync to the device");
    slot.used = true;
    slot.copied.record(stream);
    next_ = (next_ + 1) % slots_.size();
  }

  // What `bytes` of the device hold when the stream has done all that it was given; valid until the
  // next call.
  const std::byte* received(const void* from, std::size_t bytes, const Stream& stream) {
    std::byte* to = to_fill(bytes);
    check(copy_bytes(to, from, bytes, cudaMemcpyDeviceToHost, stream.handle()),
          "cudaMemcpyAsync from the device");
    stream.wait();
    for (Slot& slot : slots_) slot.used = false;  // all copies before this one have ended
    return to;
  }

  // Copies what `bytes` of the device hold then to `to`, some at a time: to pin as much memory as
  // a large result takes would take longer than the copy.
  void receive(void* to, const void* from, std::size_t bytes, const Stream& stream) {
    constexpr auto most = static_cast<std::size_t>(copied_at_once);
    for (std::size_t done = 0; done < bytes; done += most) {
      const std::size_t few = std::min(bytes - done, most);
      std::memcpy(static_cast<std::byte*>(to) + done,
                  received(static_cast<const std::byte*>(from) + done, few, stream), few);
    }
  }

 private:
  struct Slot {
    PinnedMemory::Piece bytes;
    Event copied;
    bool used = false;
  };
  std::array<Slot, 4> slots_;
  std::size_t next_ = 0;
};

}  // namespace sigmascope::device
