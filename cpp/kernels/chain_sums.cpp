// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/chain_sums.hpp"

#include <algorithm>

namespace sigmascope {

ChainSums::ChainSums(std::int64_t size, std::int64_t part)
    : part_(part),
      parts_(chunks(size, part)),
      z_(aligned_array<float>(size)),
      next_(std::make_unique<std::atomic<int>[]>(static_cast<std::size_t>(parts_))) {
  std::fill_n(z_.get(), size, 0.0f);
}

float* ChainSums::turn(std::int64_t index, std::int64_t part) {
  for (int seen = next(part).load(); seen != index; seen = next(part).load()) {
    if (seen < 0) return nullptr;
    next(part).wait(seen);
  }
  return z_.get() + part * part_;
}

void ChainSums::done(std::int64_t index, std::int64_t part) {
  auto seen = static_cast<int>(index);
  next(part).compare_exchange_strong(seen, seen + 1);  // unless all have given up
  next(part).notify_all();
}

void ChainSums::give_up() {
  for (std::int64_t part = 0; part < parts_; ++part) {
    next(part).store(-1);
    next(part).notify_all();
  }
}

}  // namespace sigmascope
