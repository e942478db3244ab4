// SPDX-License-Identifier: BSD-3-Clause
// The processor as kernels use it: its instruction set, threads, and who hears of their progress.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

#include "kernels/blocks/thread_pool.hpp"
#include "kernels/simd/isa.hpp"

namespace sigmascope {

// Called by the calling thread after each panel with the stored bytes just used; throws to stop.
using Observer = std::function<void(std::int64_t bytes)>;

struct CpuOptions {
  int threads = 1;
  std::int64_t panel_rows = 0;  // 0: chosen so that a decoded panel fits the cache
  Observer observer;
};

struct Cpu {
  const Isa& isa;
  ThreadPool pool;
  std::int64_t panel_rows;
  Observer observer;

  explicit Cpu(CpuOptions options)
      : isa(best_isa()),
        pool(std::max(options.threads, 1)),
        panel_rows(options.panel_rows),
        observer(std::move(options.observer)) {}

  void report(std::int64_t bytes) const {
    if (observer) observer(bytes);
  }
};

}  // namespace sigmascope
