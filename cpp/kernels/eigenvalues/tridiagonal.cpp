// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/eigenvalues/tridiagonal.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "kernels/blocks/lapack.hpp"
#include "kernels/eigenvalues/band_reduction.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

// Below, all of the matrix stays in the cache, and LAPACK's one stage is as fast on one thread.
constexpr std::int64_t two_stage_order = 1024;

void check(const char* routine, int failed) {
  if (failed != 0)
    throw std::runtime_error(std::string("LAPACK ") + routine +
                             " failed with info = " + std::to_string(failed));
}

// Sweeps of one thread that follow each other two steps apart, so that the blocks of one are in the
// cache for the next.
constexpr std::int64_t group = 4;

struct Sweep {
  alignas(64) double v[band_width];
  double tau;
  bool running;
};

// Sweep s + 1 may take a step when sweep s has taken the one after it: two steps behind, they touch
// no number together. Groups of sweeps are handed out in order, so that the one a thread waits for
// is being worked on.
void chase_band(const Isa& isa, ThreadPool& pool, double* band, std::int64_t n) {
  constexpr std::int64_t all = std::numeric_limits<std::int64_t>::max();
  const std::int64_t sweeps = std::max<std::int64_t>(n - 2, 0),
                     groups = (sweeps + group - 1) / group;
  // Steps that the last sweep of each group has taken.
  std::vector<std::atomic<std::int64_t>> taken(as_size(groups));
  pool.run(groups, [&](std::int64_t index, int) {
    const std::int64_t first = index * group, count = std::min(group, sweeps - first);
    Sweep state[group];
    for (Sweep& sweep : state) sweep.running = true;
    std::int64_t running = count, seen = index > 0 ? 0 : all;
    for (std::int64_t time = 0; running > 0; ++time) {
      while (seen < time + 2) {
        seen = taken[as_size(index - 1)].load(std::memory_order_acquire);
        if (seen < time + 2) std::this_thread::yield();
      }
      for (std::int64_t i = 0; i < count && 2 * i <= time; ++i) {
        if (!state[i].running) continue;
        const std::int64_t step = time - 2 * i;
        state[i].running =
            isa.eigenvalues.chase_bulge(band, n, first + i, step, state[i].v, &state[i].tau);
        if (!state[i].running) --running;
        if (i == count - 1)
          taken[as_size(index)].store(state[i].running ? step + 1 : all, std::memory_order_release);
      }
    }
  });
}

// Sturm counts of one tridiagonal matrix.
class Counts {
 public:
  Counts(const Isa& isa, ThreadPool& pool, const std::vector<double>& diagonal,
         const std::vector<double>& beside)
      : isa_(isa), pool_(pool), diagonal_(diagonal), squares_(beside) {
    for (double& x : squares_) {
      x *= x;
      least_ = std::max(least_, x * std::numeric_limits<double>::min());
    }
  }

  // The number of eigenvalues below each x.
  std::vector<double> below(std::vector<double> x) const {
    constexpr std::int64_t together = 32;
    const std::size_t wanted = x.size();
    x.resize(as_size(chunks(static_cast<std::int64_t>(wanted), together) * together), 0.0);
    std::vector<double> counts(x.size());
    pool_.run(static_cast<std::int64_t>(x.size()) / together, [&](std::int64_t chunk, int) {
      isa_.eigenvalues.counts_below(static_cast<std::int64_t>(diagonal_.size()), diagonal_.data(),
                                    squares_.data(), least_, together, x.data() + chunk * together,
                                    counts.data() + chunk * together);
    });
    counts.resize(wanted);
    return counts;
  }

 private:
  const Isa& isa_;
  ThreadPool& pool_;
  const std::vector<double>& diagonal_;
  std::vector<double> squares_;
  double least_ = std::numeric_limits<double>::min();
};

// Moves approximate eigenvalues, ascending, to within 16 units of roundoff of the largest: most
// are, two counts show it, and the others are bisected.
void refine(const Counts& counts, std::vector<double>& values) {
  const double within = 0x1p-49 * std::max(std::abs(values.front()), std::abs(values.back()));
  struct Bracket {
    std::size_t index;
    double low, high, reach;
  };
  std::vector<Bracket> open, settled;
  for (std::size_t i = 0; i < values.size(); ++i)
    open.push_back({i, values[i] - within, values[i] + within, 2 * within});
  while (!open.empty()) {  // until value `index` is between low and high
    std::vector<double> ends;
    for (const Bracket& b : open) ends.insert(ends.end(), {b.low, b.high});
    const std::vector<double> below = counts.below(std::move(ends));
    std::vector<Bracket> missed;
    for (std::size_t i = 0; i < open.size(); ++i) {
      Bracket b = open[i];
      const auto index = static_cast<double>(b.index);
      if (below[2 * i] > index) {
        b.high = b.low;
        b.low -= b.reach;
      } else if (below[2 * i + 1] <= index) {
        b.low = b.high;
        b.high += b.reach;
      } else {
        settled.push_back(b);
        continue;
      }
      b.reach *= 4;
      missed.push_back(b);
    }
    open = std::move(missed);
  }
  std::erase_if(settled, [&](const Bracket& b) { return b.high - b.low <= 2.5 * within; });
  while (!settled.empty()) {
    std::vector<double> middle;
    middle.reserve(settled.size());
    for (const Bracket& b : settled) middle.push_back(b.low + (b.high - b.low) / 2);
    const std::vector<double> below = counts.below(middle);
    for (std::size_t i = 0; i < settled.size(); ++i) {
      Bracket& b = settled[i];
      (below[i] > static_cast<double>(b.index) ? b.high : b.low) = middle[i];
      values[b.index] = b.low + (b.high - b.low) / 2;
    }
    std::erase_if(settled, [&](const Bracket& b) { return b.high - b.low <= 2.5 * within; });
  }
  std::sort(values.begin(), values.end());
}

// The eigenvalues, ascending, of a symmetric tridiagonal matrix that is positive semidefinite to
// rounding: by dqds of its Cholesky factor (Fernando & Parlett 1994), refined. LAPACK's dlasq takes
// an eigenvalue for found within 200 units of roundoff of it, and in clusters of close values many
// are as far off, as some of dsterf are. A shift that makes the matrix positive definite costs no
// digit, as long as it is no larger.
std::vector<double> tridiagonal_eigenvalues(const Isa& isa, ThreadPool& pool,
                                            const std::vector<double>& diagonal,
                                            const std::vector<double>& beside) {
  const int n = static_cast<int>(diagonal.size());
  double largest = 0, sum = 0;
  for (const std::vector<double>* of : {&diagonal, &beside})
    for (const double x : *of) largest = std::max(largest, std::abs(x)), sum += x;
  if (!std::isfinite(sum)) throw std::runtime_error("a tridiagonal matrix is not finite");
  if (largest == 0) return diagonal;
  std::vector<double> d, e, work(4 * diagonal.size());
  double shift = 0x1p-40 * largest;
  for (int failed = 1; failed != 0;) {
    d = diagonal;
    e = beside;
    for (double& x : d) x += shift;
    scipy_dpttrf_(&n, d.data(), e.data(), &failed);
    if (failed == 0) break;
    if (shift >= 4 * largest) check("dpttrf", failed);  // it is diagonally dominant
    shift = std::min(32 * shift, 4 * largest);
  }
  for (std::size_t i = 0; i < d.size(); ++i) {
    d[i] = std::sqrt(d[i]);
    e[i] *= d[i];  // the last is of no row
  }
  int failed = 0;
  scipy_dlasq1_(&n, d.data(), e.data(), work.data(), &failed);
  check("dlasq1", failed);
  for (double& x : d) x = x * x - shift;
  std::reverse(d.begin(), d.end());
  refine(Counts(isa, pool, diagonal, beside), d);
  return d;
}

std::vector<double> by_lapack(const Isa& isa, ThreadPool& pool, Small& a) {
  const int n = static_cast<int>(a.rows);
  std::vector<double> diagonal(as_size(n)), beside(diagonal.size()), tau(diagonal.size());
  double work_size = 0;
  int query = -1, failed = 0;
  scipy_dsytrd_("L", &n, a.data(), &n, diagonal.data(), beside.data(), tau.data(), &work_size,
                &query, &failed);
  const int lwork = static_cast<int>(work_size);
  Small work(lwork, 1);
  scipy_dsytrd_("L", &n, a.data(), &n, diagonal.data(), beside.data(), tau.data(), work.data(),
                &lwork, &failed);
  check("dsytrd", failed);
  return tridiagonal_eigenvalues(isa, pool, diagonal, beside);
}

}  // namespace

std::vector<double> two_stage_eigenvalues(const Isa& isa, ThreadPool& pool, Small& a,
                                          GramProducts products,
                                          const std::function<void()>& pulse) {
  // Zeros follow the band.
  const std::int64_t n = a.rows, length = (n + 2 * band_width + 1) * band_ld;
  if (n == 0) return {};
  auto storage = aligned_array<double>(length);
  std::fill_n(storage.get(), length, 0.0);
  double* band = storage.get();
  if (products == GramProducts::fast) BandReduction<float>(isa, pool, a.data(), n).run(band, pulse);
  else BandReduction<double>(isa, pool, a.data(), n).run(band, pulse);
  chase_band(isa, pool, band, n);
  std::vector<double> values(as_size(n)), beside(as_size(n));
  for (std::int64_t i = 0; i < n; ++i) {
    values[as_size(i)] = band[i * band_ld];
    beside[as_size(i)] = band[i * band_ld + 1];
  }
  beside.back() = 0;
  return tridiagonal_eigenvalues(isa, pool, values, beside);
}

std::vector<double> symmetric_eigenvalues(const Isa& isa, ThreadPool& pool, Small& a,
                                          GramProducts products,
                                          const std::function<void()>& pulse) {
  if (a.rows >= two_stage_order) return two_stage_eigenvalues(isa, pool, a, products, pulse);
  return a.rows > 0 ? by_lapack(isa, pool, a) : std::vector<double>();
}

std::int64_t eigenvalue_bytes(std::int64_t n, int threads) {
  if (n < two_stage_order) return 8 * n * 64;  // dsytrd works on 64 columns at a time at most
  return 8 * n * band_ld + BandReduction<double>::bytes(n, threads);
}

}  // namespace sigmascope
