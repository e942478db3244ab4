// SPDX-License-Identifier: BSD-3-Clause
// Objects of a device that one call gives back and the next one uses again: a search of a small
// matrix would else make them anew each time.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

namespace sigmascope::device {

// Objects of devices that nobody uses. Safe for several threads at once.
template <class T>
class Spares {
 public:
  // An object of the device, or null.
  std::unique_ptr<T> take(int device) {
    const std::lock_guard lock(mutex_);
    const auto entry = kept_.find(device);
    return entry == kept_.end() ? nullptr : std::move(kept_.extract(entry).mapped());
  }
  void keep(int device, std::unique_ptr<T> object) noexcept {
    const std::lock_guard lock(mutex_);
    try {
      kept_.emplace(device, std::move(object));
    } catch (const std::bad_alloc&) {
      return;  // it is gone, as if nobody had kept it
    }
  }
  void clear() noexcept {
    std::multimap<int, std::unique_ptr<T>> gone;  // after the lock has been released
    const std::lock_guard lock(mutex_);
    gone.swap(kept_);
  }

  // Adds up amount(object) over those of the device.
  template <class Amount>
  std::size_t sum(int device, const Amount& amount) const {
    const std::lock_guard lock(mutex_);
    std::size_t total = 0;
    for (auto [entry, end] = kept_.equal_range(device); entry != end; ++entry)
      total += amount(*entry->second);
    return total;
  }
  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return kept_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::multimap<int, std::unique_ptr<T>> kept_;
};

}  // namespace sigmascope::device
