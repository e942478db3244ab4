// SPDX-License-Identifier: BSD-3-Clause
// Memory, streams and events of the CUDA runtime, each owned by one object; errors as exceptions.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "runtime/contexts.hpp"
#include "runtime/errors.hpp"
#include "runtime/operations.hpp"
#include "runtime/runtime.hpp"
#include "runtime/spares.hpp"

namespace sigmascope::device {

// The device of this thread. In the end it is the one before again, if that has a context: to
// choose a device makes one. A thread that had no device keeps this one.
class ChosenDevice {
 public:
  explicit ChosenDevice(int index) : index_(index) {
    check(cudaGetDevice(&before_), "cudaGetDevice");
    check(cudaSetDevice(index), "cudaSetDevice");
  }
  ~ChosenDevice() {
    if (before_ != index_ && has_context(before_)) note(cudaSetDevice(before_), "cudaSetDevice");
  }
  ChosenDevice(const ChosenDevice&) = delete;
  ChosenDevice& operator=(const ChosenDevice&) = delete;

  int index() const { return index_; }

 private:
  int index_, before_ = 0;
};

// Waits for work until `query` says that it is done: for a while this asks again and again, since a
// sleeping thread takes about as long to wake up; then it calls `sleep`, so that others, who
// compute on the host, have the core.
template <class Query, class Sleep>
cudaError_t wait_until_done(const Query& query, const Sleep& sleep) noexcept {
  constexpr std::chrono::microseconds awake{100};
  const auto end = std::chrono::steady_clock::now() + awake;
  do {
    const cudaError_t state = query();
    if (state != cudaErrorNotReady) return state;
    cudaGetLastError();  // which would return it again
  } while (std::chrono::steady_clock::now() < end);
  return sleep();
}

class OwnedEvent {
 public:
  OwnedEvent() {
    check(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming | cudaEventBlockingSync),
          "cudaEventCreateWithFlags");
  }
  ~OwnedEvent() {
    if (handle_ != nullptr) note(cudaEventDestroy(handle_), "cudaEventDestroy");
  }
  OwnedEvent(const OwnedEvent&) = delete;
  OwnedEvent& operator=(const OwnedEvent&) = delete;

  cudaEvent_t handle() const { return handle_; }

 private:
  cudaEvent_t handle_ = nullptr;
};

class OwnedStream {
 public:
  OwnedStream() {
    check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  ~OwnedStream() {
    if (handle_ != nullptr) note(cudaStreamDestroy(handle_), "cudaStreamDestroy");
  }
  OwnedStream(const OwnedStream&) = delete;
  OwnedStream& operator=(const OwnedStream&) = delete;

  cudaStream_t handle() const { return handle_; }
  bool is_idle() const noexcept {
    const cudaError_t state = cudaStreamQuery(handle_);
    if (state != cudaSuccess) cudaGetLastError();  // which would return it again
    return state == cudaSuccess;
  }
  // Waits until all is done that the stream was given.
  cudaError_t finished() const noexcept {
    return wait_until_done([this] { return cudaStreamQuery(handle_); },
                           [this] {
                             const cudaError_t error = cudaEventRecord(done_.handle(), handle_);
                             return error == cudaSuccess ? cudaEventSynchronize(done_.handle())
                                                         : error;
                           });
  }

 private:
  OwnedEvent done_;
  cudaStream_t handle_ = nullptr;
};

// Streams that the next call may use.
inline Spares<OwnedStream>& spare_streams() {
  static auto* const streams = new Spares<OwnedStream>;  // CUDA may be gone before their end
  return *streams;
}

class Stream {
 public:
  Stream() : own_(std::make_unique<OwnedStream>()), handle_(own_->handle()) {}
  // The stream of this thread's recorder, if that is for the device; else a spare one, or a new one
  // that is spare in the end.
  explicit Stream(int device) : device_(device) {
    if (Recorder* recorder = Recorder::of_thread(); recorder && recorder->device() == device) {
      handle_ = recorder->stream();
      return;
    }
    own_ = spare_streams().take(device);
    if (!own_) own_ = std::make_unique<OwnedStream>();
    handle_ = own_->handle();
  }
  ~Stream() {
    if (own_ && device_ != no_device && own_->is_idle())
      spare_streams().keep(device_, std::move(own_));
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t handle() const { return handle_; }
  void wait() const {
    if (Recorder* recorder = recorder_of(handle_)) recorder->finish();
    else check(own_->finished(), "a wait for a stream");
  }
  // The handle for operations of a library, which no recorder sees.
  cudaStream_t direct() const {
    if (Recorder* recorder = recorder_of(handle_)) recorder->precede_direct();
    return handle_;
  }
  // Waits until nothing is under way, and returns the first error.
  cudaError_t settled() const noexcept {
    const cudaError_t error = own_->finished();
    // That wait may have returned the error of an earlier operation at once: this one waits.
    if (error != cudaSuccess) cudaStreamSynchronize(handle_), cudaGetLastError();
    return error;
  }
  void settle() const noexcept {
    if (Recorder* recorder = recorder_of(handle_)) recorder->settle();
    else note(settled(), "a wait for a stream");
  }
  // The same of what no recorder has seen.
  void settle_direct() const noexcept {
    if (Recorder* recorder = recorder_of(handle_)) recorder->settle_direct();
    else settle();
  }

 private:
  static constexpr int no_device = -1;

  int device_ = no_device;
  std::unique_ptr<OwnedStream> own_;  // null: the recorder's
  cudaStream_t handle_ = nullptr;
};

class Event {
 public:
  // Marks the end of all that the stream has been given so far.
  void record(const Stream& stream) { record(stream.handle()); }
  void record(cudaStream_t stream) {
    recorder_ = recorder_of(stream);
    if (recorder_ == nullptr) check(cudaEventRecord(event_.handle(), stream), "cudaEventRecord");
  }
  // What the stream is given from now on comes after the event.
  void precede(const Stream& stream) const { precede(stream.handle()); }
  void precede(cudaStream_t stream) const {
    if (recorder_ != nullptr && recorder_ == recorder_of(stream)) return;
    if (recorder_ != nullptr) return recorder_->finish();
    check(cudaStreamWaitEvent(stream, event_.handle(), 0), "cudaStreamWaitEvent");
  }
  void wait() const {
    if (recorder_ != nullptr) return recorder_->finish();
    check(wait_until_done([this] { return cudaEventQuery(event_.handle()); },
                          [this] { return cudaEventSynchronize(event_.handle()); }),
          "a wait for an event");
  }

 private:
  OwnedEvent event_;
  Recorder* recorder_ = nullptr;  // which recorded the event
};

enum class Place { device, pinned };

// `size` elements of memory, on the device or pinned on the host; their content is undefined.
template <class T, Place place>
class Array {
 public:
  explicit Array(std::size_t size) : size_(size) {
    void* at = nullptr;
    const std::size_t bytes = size * sizeof(T);
    if constexpr (place == Place::device)
      check(cudaMalloc(&at, bytes), ("cudaMalloc of " + std::to_string(bytes) + " bytes").c_str());
    else
      check(cudaMallocHost(&at, bytes),
            ("cudaMallocHost of " + std::to_string(bytes) + " bytes").c_str());
    data_ = static_cast<T*>(at);
  }
  ~Array() {
    if constexpr (place == Place::device) note(cudaFree(data_), "cudaFree");
    else note(cudaFreeHost(data_), "cudaFreeHost");
  }
  Array(Array&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  T& operator[](std::size_t i) const
    requires(place == Place::pinned)
  {
    return data_[i];
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

template <class T>
using DeviceArray = Array<T, Place::device>;
template <class T>
using PinnedArray = Array<T, Place::pinned>;

}  // namespace sigmascope::device
