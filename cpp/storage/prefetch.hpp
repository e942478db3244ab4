// SPDX-License-Identifier: BSD-3-Clause
// Items 0, 1, 2, ... A thread makes each one ahead, so that reading overlaps computing.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace sigmascope {

template <class Item>
class Prefetch {
 public:
  Prefetch(std::size_t count, std::function<Item(std::size_t)> make)
      : count_(count), make_(std::move(make)), thread_([this] { run(); }) {}

  ~Prefetch() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  // The next item. Rethrows the exception that making it threw in the thread.
  Item take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ready_.has_value() || error_; });
    if (error_) std::rethrow_exception(error_);
    Item item = std::move(*ready_);
    ready_.reset();
    lock.unlock();
    changed_.notify_all();
    return item;
  }

 private:
  void run() {
    try {
      for (std::size_t i = 0; i < count_; ++i) {
        Item item = make_(i);
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !ready_.has_value() || stop_; });
        if (stop_) return;
        ready_ = std::move(item);
        lock.unlock();
        changed_.notify_all();
      }
    } catch (...) {
      {
        std::lock_guard lock(mutex_);
        error_ = std::current_exception();
      }
      changed_.notify_all();
    }
  }

  std::size_t count_;
  std::function<Item(std::size_t)> make_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Item> ready_;
  std::exception_ptr error_;
  bool stop_ = false;
  std::thread thread_;  // last, so that everything it uses is there before it starts
};

}  // namespace sigmascope
