// SPDX-License-Identifier: BSD-3-Clause
// Own threads, so that no OpenMP runtime meets another library's. The caller is one of the workers.
#pragma once

#include <atomic>
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

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // task(i, worker) for every i in [0, count), each once, by whichever worker is free. What a task
  // computes must depend on i alone: then no bit depends on the number of threads. Rethrows the
  // first exception.
  void run(std::int64_t count, const std::function<void(std::int64_t i, int worker)>& task);

 private:
  void worker_loop(int worker);
  void drain(int worker);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(std::int64_t, int)>* task_ = nullptr;
  std::int64_t count_ = 0;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<int> busy_{0};
  std::exception_ptr error_;
  bool stop_ = false;
};

}  // namespace sigmascope
