// SPDX-License-Identifier: BSD-3-Clause
// A device as one call uses it: a stream for kernels, one for copies, memory of blocks.
#pragma once

#include <memory>

#include "memory/call_memory.hpp"
#include "memory/staging.hpp"
#include "memory/upload.hpp"
#include "runtime/handles.hpp"

namespace sigmascope::device {

class DeviceContext {
 public:
  // `planned`: bytes of the device that the call is to take.
  explicit DeviceContext(int index, std::int64_t planned = 0)
      : chosen_(index), memory_(std::make_shared<CallMemory>(index, compute, planned)) {}
  ~DeviceContext() { settle(); }
  DeviceContext(const DeviceContext&) = delete;
  DeviceContext& operator=(const DeviceContext&) = delete;

  int index() const { return chosen_.index(); }

  // Waits until nothing is under way, so that memory may go.
  void settle() noexcept {
    for (const Stream* stream : {&copies, &compute}) stream->settle();
  }

  template <class T>
  DeviceBlock<T> block(std::int64_t rows, std::int64_t cols) {
    const auto size = static_cast<std::size_t>(std::max<std::int64_t>(rows * cols, 1));
    return {rows, cols, memory_->piece(size * sizeof(T))};
  }
  // Bytes that are copied to: the copies come after what used the memory before.
  DeviceBlock<std::byte> bytes_to_fill(std::size_t size) {
    auto bytes = block<std::byte>(static_cast<std::int64_t>(size), 1);
    free_again_.record(compute);
    free_again_.precede(copies);
    return bytes;
  }

 private:
  ChosenDevice chosen_;  // before all that is on the device

 public:
  Stream compute{chosen_.index()}, copies{chosen_.index()};
  Staging staging;
  Upload upload{copies};

 private:
  Event free_again_;
  std::shared_ptr<CallMemory> memory_;
};

// Frees what is kept for the next call.
inline void free_spares() noexcept {
  pinned_memory().clear(), spare_pools().clear(), spare_streams().clear();
}

}  // namespace sigmascope::device
