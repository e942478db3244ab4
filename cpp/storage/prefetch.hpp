// SPDX-License-Identifier: BSD-3-Clause
// Items 0, 1, 2, ... A thread makes each one ahead, so that reading overlaps computing.
#pragma once

#include <chrono>
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

  // The next item. Rethrows the exception that making it threw in the thread. Until the item is
  // there, `waiting` is called five times a second. What it throws ends the wait, after `stop` has
  // made the thread end.
  Item take(const std::function<void()>& waiting, const std::function<void()>& stop) {
    std::unique_lock lock(mutex_);
    const auto made = [this] { return ready_.has_value() || error_; };
    while (!changed_.wait_for(lock, slice, made)) {
      lock.unlock();
      try {
        waiting();
      } catch (...) {
        end(stop);
        throw;
      }
      lock.lock();
    }
    if (error_) std::rethrow_exception(error_);
    Item item = std::move(*ready_);
    ready_.reset();
    lock.unlock();
    changed_.notify_all();
    return item;
  }

 private:
  static constexpr std::chrono::milliseconds slice{200};

  // Again and again, since the thread may begin to make another item after the first time.
  void end(const std::function<void()>& stop) {
    std::unique_lock lock(mutex_);
    stop_ = true;
    changed_.notify_all();
    do {
      lock.unlock();
      stop();
      lock.lock();
    } while (!changed_.wait_for(lock, slice, [this] { return done_; }));
  }

  void run() {
    make_all();
    {
      std::lock_guard lock(mutex_);
      done_ = true;
    }
    changed_.notify_all();
  }

  void make_all() {
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
  bool done_ = false;
  std::thread thread_;  // last, so that everything it uses is there before it starts
};

}  // namespace sigmascope
