// SPDX-License-Identifier: BSD-3-Clause
// Memory, streams and events of the CUDA runtime, each owned by one object; errors as exceptions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "runtime/contexts.hpp"
#include "runtime/errors.hpp"
#include "runtime/operations.hpp"
#include "runtime/runtime.hpp"

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

class Stream {
 public:
  Stream() {
    check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  // The stream of this thread's recorder, if that is for the device; else one of its own.
  explicit Stream(int device) {
    if (Recorder* recorder = Recorder::of_thread(); recorder && recorder->device() == device)
      handle_ = recorder->stream(), owned_ = false;
    else
      check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking),
            "cudaStreamCreateWithFlags");
  }
  ~Stream() {
    if (handle_ != nullptr && owned_) note(cudaStreamDestroy(handle_), "cudaStreamDestroy");
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t handle() const { return handle_; }
  void wait() const {
    if (Recorder* recorder = recorder_of(handle_)) recorder->finish();
    else check(cudaStreamSynchronize(handle_), "cudaStreamSynchronize");
  }
  // The handle for operations of a library, which no recorder sees.
  cudaStream_t direct() const {
    if (Recorder* recorder = recorder_of(handle_)) recorder->precede_direct();
    return handle_;
  }
  // Waits until nothing is under way. A wait that returns the error of an earlier operation may not
  // have waited: the next one does.
  void settle() const noexcept {
    if (Recorder* recorder = recorder_of(handle_)) return recorder->settle();
    const cudaError_t error = cudaStreamSynchronize(handle_);
    if (error != cudaSuccess) cudaStreamSynchronize(handle_);
    note(error, "cudaStreamSynchronize");
  }
  // The same of what no recorder has seen.
  void settle_direct() const noexcept {
    if (Recorder* recorder = recorder_of(handle_)) recorder->settle_direct();
    else settle();
  }

 private:
  cudaStream_t handle_ = nullptr;
  bool owned_ = true;
};

class Event {
 public:
  Event() {
    check(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
  ~Event() {
    if (handle_ != nullptr) note(cudaEventDestroy(handle_), "cudaEventDestroy");
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // Marks the end of all that the stream has been given so far.
  void record(const Stream& stream) { record(stream.handle()); }
  void record(cudaStream_t stream) {
    recorder_ = recorder_of(stream);
    if (recorder_ == nullptr) check(cudaEventRecord(handle_, stream), "cudaEventRecord");
  }
  // What the stream is given from now on comes after the event.
  void precede(const Stream& stream) const { precede(stream.handle()); }
  void precede(cudaStream_t stream) const {
    if (recorder_ != nullptr && recorder_ == recorder_of(stream)) return;
    if (recorder_ != nullptr) return recorder_->finish();
    check(cudaStreamWaitEvent(stream, handle_, 0), "cudaStreamWaitEvent");
  }
  void wait() const {
    if (recorder_ != nullptr) recorder_->finish();
    else check(cudaEventSynchronize(handle_), "cudaEventSynchronize");
  }

 private:
  cudaEvent_t handle_ = nullptr;
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
