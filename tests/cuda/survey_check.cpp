// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "decode_main.hpp"
#include "kernels/elements/fingerprint.hpp"
#include "kernels/simd/stretch_sums.hpp"
#include "kernels/survey.hpp"
#include "made_matrices.hpp"
#include "matrix/sizes.hpp"

namespace {

using namespace sigmascope;
using namespace sigmascope::device;

template <class T>
struct Surveyed {
  std::vector<T> numbers;
  std::int64_t rows, cols;
  BlockPlace place;
  bool whole;
};

struct Facts {
  std::vector<double> row_squares;
  double largest = 0;
  std::int64_t nans = 0, infinities = 0, first_row = -1, first_col = -1;
  Digest digest;
};

template <class T>
Surveyed<T> made_numbers(made::Random& random) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  Surveyed<T> made;
  made.rows = random.between(0, 9);
  made.cols = random.one_in(4) ? random.between(4000, 9000) : random.between(0, 300);
  const std::int64_t edge = (std::int64_t{1} << 32) - 20;
  made.place = {random.among<std::int64_t>({0, 3, edge}), random.among<std::int64_t>({0, 7, edge}),
                random.one_in(2)};
  made.whole = random.one_in(2);
  made.numbers.resize(as_size(made.rows * made.cols));
  const bool finite = !random.one_in(3), wide = random.one_in(4), zeros = random.one_in(2);
  for (T& number : made.numbers) {
    const auto bits = static_cast<Bits>(random.bits());
    std::memcpy(&number, &bits, sizeof number);
    // Fractions of fp64 that lie halfway between two of fp32 are rounded to even.
    if (sizeof(T) == 8 && random.one_in(4)) {
      const Bits halfway = bits >> 28 << 28;
      std::memcpy(&number, &halfway, sizeof number);
    }
    if (!wide || (finite && !std::isfinite(number))) number = static_cast<T>(random.number());
    if (zeros && random.one_in(20)) number = random.one_in(2) ? T(0) : T(-0.0);
    if (zeros && random.one_in(50)) number = std::numeric_limits<T>::denorm_min() * T(5);
    if (!finite && random.one_in(200))
      number = random.one_in(2) ? std::numeric_limits<T>::quiet_NaN()
                                : -std::numeric_limits<T>::infinity();
  }
  return made;
}

template <class T>
Facts on_cpu(const Surveyed<T>& a) {
  constexpr DType dtype = sizeof(T) == 4 ? DType::f32 : DType::f64;
  Facts facts;
  facts.row_squares.assign(as_size(a.rows), 0.0);
  Digester digester(cpu_kernels(), a.place, a.whole);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    LongSum squares;
    for (std::int64_t j = 0; j < a.cols; j += stretch_length) {
      const std::int64_t n = std::min(stretch_length, a.cols - j);
      const T* numbers = a.numbers.data() + i * a.cols + j;
      Survey s;
      cpu_kernels().elements.survey(dtype, numbers, n, 0, &s);
      digester.add(dtype, numbers, i, j, n);
      if (facts.first_row < 0 && s.first_nonfinite >= 0)
        facts.first_row = i, facts.first_col = j + s.first_nonfinite;
      squares.add(s.sum_squares);
      facts.largest = std::max(facts.largest, s.largest);
      facts.nans += s.nans, facts.infinities += s.infinities;
    }
    facts.row_squares[as_size(i)] = squares.value();
  }
  facts.digest = digester.digest();
  return facts;
}

template <class A>
void copy(A* to, const A* from, std::size_t count, cudaMemcpyKind kind, const Stream& stream) {
  check(cudaMemcpyAsync(to, from, count * sizeof(A), kind, stream.handle()), "cudaMemcpyAsync");
}

// In panels of `height` rows.
template <class T>
Facts on_device(const Surveyed<T>& a, std::int64_t height, const Stream& stream) {
  const std::size_t count = a.numbers.size(), rows = as_size(a.rows);
  const PinnedArray<T> staged(count + 1);
  const DeviceArray<T> numbers(count + 1);
  const DeviceArray<double> squares(rows + 1),
      workspace(as_size(SurveyedPanel<T>{nullptr, 0, height, a.cols, 8}.workspace() + 1));
  const DeviceArray<SurveyTotals> totals(1);
  const PinnedArray<double> on_host(rows + 1);
  const PinnedArray<SurveyTotals> total(1);
  std::copy(a.numbers.begin(), a.numbers.end(), staged.data());
  copy(numbers.data(), staged.data(), count, cudaMemcpyHostToDevice, stream);
  check(start_survey(totals.data(), stream.handle()), "start_survey");
  for (std::int64_t i = 0; i < a.rows; i += height) {
    const SurveyedPanel<T> panel{.numbers = numbers.data() + i * a.cols,
                                 .row0 = i,
                                 .rows = std::min(height, a.rows - i),
                                 .cols = a.cols,
                                 .vector_lanes = cpu_kernels().vector_bytes / 8,
                                 .hashed_row0 = a.place.row0,
                                 .hashed_col0 = a.place.col0,
                                 .tall = a.place.tall,
                                 .whole = a.whole};
    check(survey(panel, workspace.data(), squares.data() + i, totals.data(), stream.handle()),
          "survey");
  }
  copy(on_host.data(), squares.data(), rows, cudaMemcpyDeviceToHost, stream);
  copy(total.data(), totals.data(), 1, cudaMemcpyDeviceToHost, stream);
  stream.wait();
  Facts facts;
  facts.row_squares.assign(on_host.data(), on_host.data() + rows);
  facts.largest = total[0].largest();
  facts.nans = static_cast<std::int64_t>(total[0].sums.nans);
  facts.infinities = static_cast<std::int64_t>(total[0].sums.infinities);
  facts.digest = total[0].digest();
  if (!total[0].finite())
    facts.first_row = total[0].first_row(a.cols), facts.first_col = total[0].first_col(a.cols);
  return facts;
}

template <class T>
bool same_survey(made::Random& random, const Stream& stream) {
  const Surveyed<T> a = made_numbers<T>(random);
  const Facts wanted = on_cpu(a);
  const Facts facts = on_device(a, random.between(1, 10), stream);
  const bool finite = wanted.first_row < 0;
  bool right = facts.largest == wanted.largest && facts.nans == wanted.nans &&
               facts.infinities == wanted.infinities && facts.first_row == wanted.first_row &&
               facts.first_col == wanted.first_col;
  if (finite)
    right &= facts.digest.sum == wanted.digest.sum && facts.digest.zeros == wanted.digest.zeros;
  for (std::size_t i = 0; i < wanted.row_squares.size(); ++i) {
    const double is = facts.row_squares[i], be = wanted.row_squares[i];
    right &= is == be || (!finite && std::abs(is - be) <= 1e-14 * std::abs(be));
  }
  if (right) return true;
  std::printf("fp%zu, %lld x %lld, finite %d, whole %d: %a %lld %lld (%lld, %lld) %llx %llx, not ",
              8 * sizeof(T), static_cast<long long>(a.rows), static_cast<long long>(a.cols), finite,
              a.whole, facts.largest, static_cast<long long>(facts.nans),
              static_cast<long long>(facts.infinities), static_cast<long long>(facts.first_row),
              static_cast<long long>(facts.first_col),
              static_cast<unsigned long long>(facts.digest.sum),
              static_cast<unsigned long long>(facts.digest.zeros));
  std::printf("%a %lld %lld (%lld, %lld) %llx %llx\n", wanted.largest,
              static_cast<long long>(wanted.nans), static_cast<long long>(wanted.infinities),
              static_cast<long long>(wanted.first_row), static_cast<long long>(wanted.first_col),
              static_cast<unsigned long long>(wanted.digest.sum),
              static_cast<unsigned long long>(wanted.digest.zeros));
  return false;
}

}  // namespace

bool same_surveys(std::uint64_t seed, int cases, const Stream& stream) {
  for (int number = 0; number < cases; ++number) {
    made::Random random(seed * 1000003 + static_cast<std::uint64_t>(number));
    if (same_survey<float>(random, stream) && same_survey<double>(random, stream)) continue;
    std::printf("survey %d of seed %llu\n", number, static_cast<unsigned long long>(seed));
    return false;
  }
  return true;
}
