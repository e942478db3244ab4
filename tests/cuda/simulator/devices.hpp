// SPDX-License-Identifier: BSD-3-Clause
// The state of the simulated devices: what is allocated, what is enqueued, what went wrong.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "simulator/fibers.hpp"
#include "simulator/guarded_memory.hpp"
#include "simulator/runtime.hpp"
#include "simulator/settings.hpp"

namespace sigmascope::simulator {

struct Event {
  std::uint64_t recorded = 0;  // how often it was enqueued
  std::uint64_t done = 0;      // how often it was reached
  Stream* stream = nullptr;    // in which it was enqueued last
  std::size_t copies = 0;      // to a device, before that
  char token = 0;
};

// One of: act; record an event; wait until an event was reached `ticket` times. An event may be
// destroyed before that.
struct Operation {
  std::function<void()> act;
  std::shared_ptr<Event> record = nullptr;
  std::shared_ptr<Event> awaited = nullptr;
  std::uint64_t ticket = 0;
  std::unique_ptr<char> enqueued =
      std::make_unique<char>();  // to ThreadSanitizer: what came before

  bool is_ready() const { return awaited == nullptr || awaited->done >= ticket; }
};

struct Stream {
  std::deque<Operation> queue;
  std::thread::id owner = std::this_thread::get_id();
  std::unique_ptr<Fiber> fiber;  // to ThreadSanitizer a stream is a thread
  Fiber* caller = nullptr;
  Operation current;
  char token = 0;

  bool is_ready() const { return !queue.empty() && queue.front().is_ready(); }
};

// Memory for allocations in the order of streams. What was given back is free for the pool at once:
// the next operation that gets it comes later in the same stream.
struct Pool {
  int device;
  std::uint64_t threshold = 0;   // bytes that it keeps when a stream is waited for
  std::size_t reserved = 0;      // bytes of the device
  std::size_t used = 0;          // bytes that were not given back
  std::int64_t allocations = 0;  // that are mapped
  bool destroyed = false;
};

struct Allocation {
  explicit Allocation(std::size_t bytes, int on, Pool* of = nullptr)
      : memory(bytes, of == nullptr ? Content::filled : Content::undefined),
        device(on),
        pool(of),
        begun(of == nullptr) {}
  GuardedMemory memory;
  int device;
  Pool* pool;
  bool begun;  // its stream has reached the allocation
  bool given_back = false;
};

struct Devices {
  std::recursive_mutex mutex;
  Settings settings;
  std::mt19937_64 random;
  Counts counts;
  std::vector<Launched> launches;
  std::vector<Uploaded> uploads;
  std::size_t copies = 0;  // to a device
  cudaError_t sticky = cudaSuccess;
  std::string violation;
  std::map<void*, std::unique_ptr<Allocation>> memory;
  std::map<void*, std::unique_ptr<Allocation>> pinned;
  std::map<int, std::size_t> bytes;  // in use, of each device
  std::set<int> contexts;            // devices that have one
  std::vector<std::unique_ptr<Pool>> pools;
  std::vector<std::unique_ptr<Stream>> streams;
  // The legacy default stream, and that of the thread: they are always there.
  std::array<Stream, 2> defaults;
  std::vector<std::shared_ptr<Event>> events;
  std::int64_t open_handles = 0;

  // The device was asked for what it must not be: all later calls fail.
  void violate(const std::string& what);
  std::size_t draw(std::size_t below) { return random() % below; }
  // Of the kernel that runs, if its work is counted; else null.
  Work* work() { return settings.counted_blocks > 0 ? &launches.back().work : nullptr; }
};

Devices& devices();

// The stream of a handle, which may be cudaStreamLegacy or cudaStreamPerThread; null: there is
// none.
Stream* stream_of(cudaStream_t handle);

// A call of the runtime, alone on the devices. `error` is not cudaSuccess if the call is to fail.
class Call {
 public:
  // always: it does what it is asked. Else it fails if it is to, or if an earlier one has failed
  // for good.
  enum class Acts { unless_it_fails, always };

  explicit Call(Acts acts = Acts::unless_it_fails);
  // A call that frees: it does so even if it is to fail.
  static Call of_destructor() { return Call(Acts::always); }
  cudaError_t error() const { return error_; }
  // What a call that frees returns.
  cudaError_t status() const;
  // Returns the error, and keeps it for cudaGetLastError.
  static cudaError_t failed(cudaError_t error);

 private:
  std::unique_lock<std::recursive_mutex> lock_;
  cudaError_t error_;
};

int& device_of_thread();
// Makes the context of a device unless there is one.
cudaError_t make_context(int device);
cudaError_t& last_error_of_thread();

// After a wait for a stream, pools keep only what their thresholds allow.
void trim_pools();

// Adds an operation to a stream.
cudaError_t enqueue(cudaStream_t handle, Operation operation);
// Runs operations until `enough`, those of `wanted` first. Others run only as far as that needs.
void run_until(const std::function<bool()>& enough, Stream* wanted);

}  // namespace sigmascope::simulator
