// SPDX-License-Identifier: BSD-3-Clause
// Own threads, so that no OpenMP runtime meets another library's. The caller is one of the workers.
//
// Whoever runs does the work. The caller takes tasks until none is left; a helper that the system
// schedules meanwhile takes some too. The caller waits for tasks that helpers have begun, and never
// for a helper to start. If a helper loses its core in the middle of a task, the caller has to wait
// for that task: it then works alone for some time, so that such waits stay a small share.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace sigmascope {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(helpers_.size()) + 1; }

  // task(i, worker) for every i in [0, count), each once, by whichever worker is free. What a task
  // computes must depend on i alone: then no bit depends on the number of threads. Rethrows the
  // first exception.
  void run(std::int64_t count, const std::function<void(std::int64_t i, int worker)>& task);

 private:
  using Clock = std::chrono::steady_clock;

  void admit_helpers();
  void await_helpers(Clock::duration working, std::int64_t count);
  void help(int worker);
  bool join(std::uint64_t turn);
  void leave();
  std::int64_t drain(int worker);

  // Of `state_`: the number of the run, whether helpers may still join it, how many are in it.
  static constexpr std::uint64_t inside = 0xffff, open = 0x10000, turn_unit = 0x20000;
  static std::uint64_t turn_of(std::uint64_t state) { return state / turn_unit; }

  std::vector<std::thread> helpers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(std::int64_t, int)>* task_ = nullptr;
  std::int64_t count_ = 0;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::uint64_t> state_{0};
  std::atomic<int> asleep_{0};
  std::atomic<bool> stop_{false};
  std::exception_ptr error_;
};

}  // namespace sigmascope
