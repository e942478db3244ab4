// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/blocks/thread_pool.hpp"

namespace sigmascope {

namespace {

// A parallel step takes a few hundred microseconds: a short wait by spinning saves the wake-up, a
// long one would steal a core from whoever shares it.
constexpr int spins = 2000;

template <class Condition>
bool spin_until(const Condition& condition) {
  for (int i = 0; i < spins; ++i) {
    if (condition()) return true;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  return condition();
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int worker = 1; worker < threads; ++worker)
    workers_.emplace_back([this, worker] { worker_loop(worker); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(std::int64_t count, const std::function<void(std::int64_t, int)>& task) {
  if (count <= 0) return;
  if (workers_.empty() || count == 1) {
    for (std::int64_t i = 0; i < count; ++i) task(i, 0);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    task_ = &task;
    count_ = count;
    error_ = nullptr;
    next_.store(0);
    busy_.store(static_cast<int>(workers_.size()));
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  drain(0);
  if (!spin_until([this] { return busy_.load() == 0; })) {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_.load() == 0; });
  }
  std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
}

void ThreadPool::drain(int worker) {
  try {
    for (std::int64_t i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1))
      (*task_)(i, worker);
  } catch (...) {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
    next_.store(count_);
  }
}

void ThreadPool::worker_loop(int worker) {
  std::uint64_t seen = 0;
  while (true) {
    if (!spin_until([&] { return generation_.load() != seen; })) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return generation_.load() != seen; });
    }
    {
      std::lock_guard lock(mutex_);  // pairs with run(): task_ and count_ are whole
      if (stop_) return;
      seen = generation_.load();
    }
    drain(worker);
    if (busy_.fetch_sub(1) == 1) {
      std::lock_guard lock(mutex_);
      done_.notify_all();
    }
  }
}

}  // namespace sigmascope
