// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/chain_sums.hpp"

#include <algorithm>

namespace sigmascope {

ChainSums::ChainSums(std::int64_t size) : size_(size), z_(aligned_array<float>(size)) {
  std::fill_n(z_.get(), size, 0.0f);
}

void ChainSums::add(std::int64_t index, float* chain, ThreadPool& pool) {
  {
    std::unique_lock lock(mutex_);
    next_.wait(lock, [&] { return turn_ == index || given_up_; });
    if (given_up_) return;
  }
  constexpr std::int64_t part = std::int64_t{1} << 14;
  pool.run(chunks(size_, part), [&](std::int64_t chunk, int) {
    float *z = z_.get() + chunk * part, *sum = chain + chunk * part;
    for (std::int64_t e = 0; e < std::min(part, size_ - chunk * part); ++e) {
      z[e] += sum[e];
      sum[e] = 0;
    }
  });
  const std::lock_guard lock(mutex_);
  ++turn_;
  next_.notify_all();
}

void ChainSums::give_up() {
  const std::lock_guard lock(mutex_);
  given_up_ = true;
  next_.notify_all();
}

}  // namespace sigmascope
