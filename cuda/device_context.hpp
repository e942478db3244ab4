// SPDX-License-Identifier: BSD-3-Clause
// A device as one call uses it: a stream for kernels, one for copies, memory of blocks.
#pragma once

#include <memory>

#include "block_memory.hpp"
#include "handles.hpp"
#include "staging.hpp"
#include "upload.hpp"

namespace sigmascope::device {

class DeviceContext {
 public:
  explicit DeviceContext(int index) : chosen_(index) {}
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
    return {rows, cols, blocks->piece(size * sizeof(T))};
  }

 private:
  ChosenDevice chosen_;  // before all that is on the device

 public:
  Stream compute{chosen_.index()}, copies{chosen_.index()};
  std::shared_ptr<BlockMemory> blocks = std::make_shared<BlockMemory>(compute);
  Staging staging;
  Upload upload{copies};
};

}  // namespace sigmascope::device
