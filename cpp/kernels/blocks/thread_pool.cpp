// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/blocks/thread_pool.hpp"

#include <algorithm>

namespace sigmascope {

namespace {

using std::chrono::microseconds;

// A parallel step takes a few hundred microseconds: a short wait by spinning saves the wake-up, a
// long one would steal a core from whoever shares it.
constexpr microseconds spinning{50};

// A wait beyond this, and beyond two tasks, shows that a helper lost its core.
constexpr microseconds hiccup{1000};

// When the pools of this process may use helpers again. What takes their cores is the same for all
// pools, most of which live for one call.
class Recess {
 public:
  using Clock = std::chrono::steady_clock;

  bool lasts(Clock::time_point now) const {
    return now.time_since_epoch().count() < until_.load(std::memory_order_relaxed);
  }

  // A helper lost its core: the caller waited so long. After each such wait in a row the recess is
  // twice as long, so that the waits take a small share of the time.
  void begin(Clock::time_point now, Clock::duration waited) {
    const int factor = factor_.load(std::memory_order_relaxed);
    until_.store((now + factor * waited).time_since_epoch().count(), std::memory_order_relaxed);
    factor_.store(std::min(2 * factor, most), std::memory_order_relaxed);
    smooth_.store(0, std::memory_order_relaxed);
  }

  // A run in which a helper kept its core.
  void count_smooth_run() {
    if (factor_.load(std::memory_order_relaxed) == least) return;
    if (smooth_.fetch_add(1, std::memory_order_relaxed) + 1 < enough) return;
    factor_.store(least, std::memory_order_relaxed);
  }

 private:
  static constexpr int least = 4, most = 32, enough = 64;
  std::atomic<Clock::rep> until_{0};
  std::atomic<int> factor_{least}, smooth_{0};
};
Recess recess;

template <class Condition>
bool spin_until(const Condition& condition) {
  const auto until = std::chrono::steady_clock::now() + spinning;
  do {
    for (int i = 0; i < 16; ++i) {
      if (condition()) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  } while (std::chrono::steady_clock::now() < until);
  return condition();
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int worker = 1; worker < threads; ++worker)
    helpers_.emplace_back([this, worker] { help(worker); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_.store(true);
  }
  wake_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadPool::run(std::int64_t count, const std::function<void(std::int64_t, int)>& task) {
  if (count <= 0) return;
  const Clock::time_point began = Clock::now();
  if (helpers_.empty() || count == 1 || recess.lasts(began)) {
    for (std::int64_t i = 0; i < count; ++i) task(i, 0);
    return;
  }
  task_ = &task;
  count_ = count;
  error_ = nullptr;
  next_.store(0);
  admit_helpers();
  const std::int64_t own = drain(0);
  await_helpers(Clock::now() - began, own);
  if (error_) std::rethrow_exception(error_);
}

void ThreadPool::admit_helpers() {
  state_.store((turn_of(state_.load()) + 1) * turn_unit + open);
  if (asleep_.load() == 0) return;
  {
    std::lock_guard lock(mutex_);
  }  // a helper that fell asleep before the store hears of it
  wake_.notify_all();
}

// End the run: nobody joins any more, and all that joined have left. `working`: the time in which
// the caller did `count` tasks.
void ThreadPool::await_helpers(Clock::duration working, std::int64_t count) {
  const auto none_inside = [this] { return (state_.load() & inside) == 0; };
  const bool alone = (state_.fetch_and(~open) & inside) == 0;
  if (alone || spin_until(none_inside)) {
    if (!alone) recess.count_smooth_run();
    return;
  }
  const Clock::time_point began = Clock::now();
  {
    std::unique_lock lock(mutex_);
    done_.wait(lock, none_inside);
  }
  const Clock::time_point now = Clock::now();
  if (now - began < hiccup || (now - began) * count < 2 * working) recess.count_smooth_run();
  else recess.begin(now, now - began);
}

// The number of tasks done.
std::int64_t ThreadPool::drain(int worker) {
  std::int64_t done = 0;
  try {
    for (std::int64_t i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1), ++done)
      (*task_)(i, worker);
  } catch (...) {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
    next_.store(count_);
  }
  return done;
}

// Whether the helper has joined the run of that number, which may have ended.
bool ThreadPool::join(std::uint64_t turn) {
  std::uint64_t state = state_.load();
  while ((state & open) != 0 && turn_of(state) == turn)
    if (state_.compare_exchange_weak(state, state + 1)) return true;
  return false;
}

void ThreadPool::leave() {
  const std::uint64_t before = state_.fetch_sub(1);
  if ((before & inside) != 1 || (before & open) != 0) return;
  {
    std::lock_guard lock(mutex_);
  }  // the caller that began to wait before this hears of it
  done_.notify_all();
}

void ThreadPool::help(int worker) {
  std::uint64_t turn = 0;
  const auto called = [&] { return turn_of(state_.load()) != turn || stop_.load(); };
  while (true) {
    if (!spin_until(called)) {
      std::unique_lock lock(mutex_);
      asleep_.fetch_add(1);
      wake_.wait(lock, called);
      asleep_.fetch_sub(1);
    }
    if (stop_.load()) return;
    turn = turn_of(state_.load());
    if (!join(turn)) continue;
    drain(worker);
    leave();
  }
}

}  // namespace sigmascope
