// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/tridiagonal.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>

#include "kernels/band_reduction.hpp"
#include "kernels/lapack.hpp"

namespace sigmascope {

namespace {

// Below, all of the matrix stays in the cache, and LAPACK's one stage is as fast on one thread.
constexpr std::int64_t two_stage_order = 1024;

void check(const char* routine, int failed) {
  if (failed != 0)
    throw std::runtime_error(std::string("LAPACK ") + routine + " failed with info = " + std::to_string(failed));
}

// Sweeps of one thread that follow each other two steps apart, so that the blocks of one are in the cache for the next.
constexpr std::int64_t group = 4;

struct Sweep {
  alignas(64) double v[band_width];
  double tau;
  bool running;
};

// Sweep s + 1 may take a step when sweep s has taken the one after it: two steps behind, they touch no number together.
// Groups of sweeps are handed out in order, so that the one a thread waits for is being worked on.
void chase_band(const Isa& isa, ThreadPool& pool, double* band, std::int64_t n) {
  constexpr std::int64_t all = std::numeric_limits<std::int64_t>::max();
  const std::int64_t sweeps = std::max<std::int64_t>(n - 2, 0), groups = (sweeps + group - 1) / group;
  std::vector<std::atomic<std::int64_t>> taken(static_cast<std::size_t>(groups));  // steps, by a group's last sweep
  pool.run(groups, [&](std::int64_t index, int) {
    const std::int64_t first = index * group, count = std::min(group, sweeps - first);
    Sweep state[group];
    for (Sweep& sweep : state) sweep.running = true;
    std::int64_t running = count, seen = index > 0 ? 0 : all;
    for (std::int64_t time = 0; running > 0; ++time) {
      while (seen < time + 2) {
        seen = taken[static_cast<std::size_t>(index - 1)].load(std::memory_order_acquire);
        if (seen < time + 2) std::this_thread::yield();
      }
      for (std::int64_t i = 0; i < count && 2 * i <= time; ++i) {
        if (!state[i].running) continue;
        const std::int64_t step = time - 2 * i;
        state[i].running = isa.chase(band, n, first + i, step, state[i].v, &state[i].tau);
        if (!state[i].running) --running;
        if (i == count - 1)
          taken[static_cast<std::size_t>(index)].store(state[i].running ? step + 1 : all, std::memory_order_release);
      }
    }
  });
}

std::vector<double> by_lapack(Small& a) {
  const int n = static_cast<int>(a.rows);
  std::vector<double> values(static_cast<std::size_t>(n));
  double work_size = 0;
  int iwork_size = 0, query = -1, failed = 0;
  scipy_dsyevd_("N", "L", &n, a.data(), &n, values.data(), &work_size, &query, &iwork_size, &query, &failed);
  int lwork = static_cast<int>(work_size), liwork = std::max(iwork_size, 1);
  Small work(lwork, 1);
  std::vector<int> iwork(static_cast<std::size_t>(liwork));
  scipy_dsyevd_("N", "L", &n, a.data(), &n, values.data(), work.data(), &lwork, iwork.data(), &liwork, &failed);
  check("dsyevd", failed);
  return values;
}

}  // namespace

std::vector<double> two_stage_eigenvalues(const Isa& isa, ThreadPool& pool, Small& a, bool fast,
                                          const std::function<void()>& pulse) {
  const std::int64_t n = a.rows, length = (n + 2 * band_width + 1) * band_ld;  // zeros follow the band
  if (n == 0) return {};
  auto storage = aligned_array<double>(length);
  std::fill_n(storage.get(), length, 0.0);
  double* band = storage.get();
  if (fast) BandReduction<float>(isa, pool, a.data(), n).run(band, pulse);
  else BandReduction<double>(isa, pool, a.data(), n).run(band, pulse);
  chase_band(isa, pool, band, n);
  std::vector<double> values(static_cast<std::size_t>(n)), beside(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    values[static_cast<std::size_t>(i)] = band[i * band_ld];
    beside[static_cast<std::size_t>(i)] = band[i * band_ld + 1];
  }
  const int order = static_cast<int>(n);
  int failed = 0;
  scipy_dsterf_(&order, values.data(), beside.data(), &failed);
  check("dsterf", failed);
  return values;
}

std::vector<double> symmetric_eigenvalues(const Isa& isa, ThreadPool& pool, Small& a, bool fast,
                                          const std::function<void()>& pulse) {
  if (a.rows >= two_stage_order) return two_stage_eigenvalues(isa, pool, a, fast, pulse);
  return a.rows > 0 ? by_lapack(a) : std::vector<double>();
}

}  // namespace sigmascope
