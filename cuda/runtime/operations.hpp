// SPDX-License-Identifier: BSD-3-Clause
// Operations on a stream that a thread hands to a recorder, which starts them later: together with
// those of other matrices, see batch.hpp.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "runtime/runtime.hpp"

namespace sigmascope::device {

struct Grid {
  unsigned blocks;
  unsigned threads;
  std::size_t shared_bytes = 0;

  bool operator==(const Grid&) const = default;
};

// Calls of a kernel that one launch does at most.
inline constexpr std::size_t calls_of_launch = 128;

// Starts a kernel in one launch for a few calls, each with the arguments at one of the addresses.
using StartKernel = cudaError_t (*)(const Grid& grid, cudaStream_t stream,
                                    std::span<const void* const> arguments);

// A kernel, or another operation.
struct Operation {
  StartKernel kernel = nullptr;
  Grid grid{};
  std::vector<std::byte> arguments;
  std::function<cudaError_t(cudaStream_t)> other;

  // Whether one launch can do both.
  bool is_like(const Operation& operation) const {
    return kernel != nullptr && kernel == operation.kernel && grid == operation.grid;
  }
};

class Recorder {
 public:
  virtual ~Recorder() = default;

  // The stream whose operations it records, and its device.
  virtual cudaStream_t stream() const = 0;
  virtual int device() const = 0;
  virtual void add(Operation operation) = 0;
  // Waits until all that was added, or started on the stream itself, is done.
  virtual void finish() = 0;
  // Waits for what was added. The next operation is started on the stream itself.
  virtual void precede_direct() = 0;

  // The same, whether or not something fails.
  virtual void settle() noexcept = 0;
  // The same, with what was started on the stream itself.
  virtual void settle_direct() noexcept = 0;

  // That of this thread, or null.
  static Recorder*& of_thread() {
    thread_local Recorder* recorder = nullptr;
    return recorder;
  }
};

// The recorder of this thread if it records operations on the stream, else null.
inline Recorder* recorder_of(cudaStream_t stream) {
  Recorder* const recorder = Recorder::of_thread();
  return recorder != nullptr && recorder->stream() == stream ? recorder : nullptr;
}

// Starts an operation other than a kernel, or records it.
template <class Start>
cudaError_t start_or_record(cudaStream_t stream, const Start& start) {
  Recorder* const recorder = recorder_of(stream);
  if (recorder == nullptr) return start(stream);
  Operation operation;
  operation.other = start;
  recorder->add(std::move(operation));
  return cudaSuccess;
}

}  // namespace sigmascope::device
