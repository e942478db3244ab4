// SPDX-License-Identifier: BSD-3-Clause
// Several matrices that are computed at the same time on one device, each by a thread of its own
// that runs the ordinary algorithm. Operations of each are recorded. Once every thread waits for
// results of the device, all that was recorded is started: the same kernel on the same grid in one
// launch for up to `calls_of_launch` matrices. A matrix that differs from the others has launches
// of its own, and the same bits in any case.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/handles.hpp"
#include "runtime/operations.hpp"

namespace sigmascope::device {

class Batch {
 public:
  // The operations of one matrix, recorded by its thread.
  class Member final : public Recorder {
   public:
    explicit Member(Batch& batch) : batch_(batch) {}

    cudaStream_t stream() const override { return batch_.stream_->handle(); }
    int device() const override { return batch_.device_; }
    void add(Operation operation) override;
    void finish() override;
    void precede_direct() override;
    void settle() noexcept override;
    void settle_direct() noexcept override;

   private:
    friend class Batch;

    cudaError_t finished();

    Batch& batch_;
    std::vector<Operation> recorded_;
    std::size_t planned_ = 0;  // operations of recorded_ that a launch was found for
    bool direct_ = false;      // something was started on the stream itself
    enum class State { expected, running, waiting, ended } state_ = State::expected;
    cudaError_t error_ = cudaSuccess;
  };

  // `matrices` threads are expected, of which at most `threads` run at a time; the others wait for
  // the device, or for their turn.
  Batch(int device, std::size_t matrices, std::size_t threads);
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  // The thread of a matrix begins and ends. Between these the member is its recorder.
  Member& enter(std::size_t index);
  void leave(Member& member);
  // Expects no thread any more that has not begun.
  void close();

 private:
  using Launch = std::vector<const Operation*>;

  void wait(Member& member, std::unique_lock<std::mutex>& lock);
  bool all_wait() const;
  std::vector<Launch> launches();
  cudaError_t start(const Launch& launch) const;
  void start_all();
  void take_turn(std::unique_lock<std::mutex>& lock);
  void give_turn();

  int device_;
  std::unique_ptr<Stream> stream_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t turns_;  // threads that may begin to run
  std::vector<std::unique_ptr<Member>> members_;
};

}  // namespace sigmascope::device
