// SPDX-License-Identifier: BSD-3-Clause
// Sums over the elements of matrices, for the sanitizers: survey, moments, counts of codes and
// change, each in several blocks of threads and several calls. Arguments: order, timing, seed,
// rows, columns. Exit status: 1 if a result has other bits than in order.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/bytes.hpp"
#include "kernels/change.hpp"
#include "kernels/moments.hpp"
#include "kernels/survey.hpp"
#include "matrix/sizes.hpp"
#include "runtime/handles.hpp"
#include "simulator/settings.hpp"

namespace {

using namespace sigmascope;
using namespace sigmascope::device;

constexpr std::int64_t codes = 1 << 16;
constexpr int lanes = 4;
std::int64_t rows = 0, cols = 0, across = 0, together = 0;  // `together`: rows of a call

using Results = std::vector<std::byte>;

template <class T>
class Sent : public DeviceArray<T> {
 public:
  Sent(const std::vector<T>& numbers, const Stream& stream)
      : DeviceArray<T>(numbers.size()), pinned_(numbers.size()) {
    std::memcpy(pinned_.data(), numbers.data(), pinned_.bytes());
    check(cudaMemcpyAsync(this->data(), pinned_.data(), pinned_.bytes(), cudaMemcpyHostToDevice,
                          stream.handle()),
          "a copy");
  }

 private:
  PinnedArray<T> pinned_;
};

template <class T>
void receive(const DeviceArray<T>& from, std::size_t count, const Stream& stream,
             Results& results) {
  const PinnedArray<T> pinned(count);
  check(cudaMemcpyAsync(pinned.data(), from.data(), count * sizeof(T), cudaMemcpyDeviceToHost,
                        stream.handle()),
        "a copy");
  stream.wait();
  const auto* bytes = reinterpret_cast<const std::byte*>(pinned.data());
  results.insert(results.end(), bytes, bytes + count * sizeof(T));
}

std::vector<double> numbers(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> made(as_size(rows * cols));
  for (double& number : made)
    number = static_cast<double>(random() >> 40) * (random() % 2 == 0 ? 0x1p-20 : -0x1p-22);
  return made;
}

void survey_all(const Sent<double>& a, const Stream& stream, Results& results) {
  const DeviceArray<SurveyTotals> totals(1);
  const DeviceArray<double> squares(as_size(rows)), workspace(as_size(together * across));
  check(start_survey(totals.data(), stream.handle()), "a survey");
  for (std::int64_t row = 0; row < rows; row += together) {
    const SurveyedPanel<double> panel{.numbers = a.data() + row * cols,
                                      .row0 = row,
                                      .rows = std::min(together, rows - row),
                                      .cols = cols,
                                      .vector_lanes = lanes,
                                      .tall = false,
                                      .whole = true};
    check(survey(panel, workspace.data(), squares.data(), totals.data(), stream.handle()),
          "a survey");
  }
  receive(totals, 1, stream, results), receive(squares, as_size(rows), stream, results);
}

void sum_moments(const Sent<double>& a, const DType* formats, const Stream& stream,
                 Results& results) {
  const DeviceArray<RowGroup> groups(as_size(groups_of(rows)));
  const DeviceArray<double> row_squares(as_size(rows)), column_squares(as_size(cols)),
      column_losses(as_size(cols)), open_columns(as_size(cols)),
      column_groups(as_size((groups_of(together) + 1) * cols)), pivots(as_size(together * across));
  const DeviceArray<Stretch> stretches(as_size(together * across));
  const MomentsSums sums{groups.data(), row_squares.data(), column_squares.data(),
                         column_losses.data(), open_columns.data()};
  check(start_moments(sums, rows, cols, stream.handle()), "moments");
  for (std::int64_t row = 0; row < rows; row += together)
    check(add_moments({.numbers = a.data() + row * cols,
                       .row0 = row,
                       .rows = std::min(together, rows - row),
                       .cols = cols,
                       .all_rows = rows,
                       .vector_lanes = lanes,
                       .formats = formats,
                       .stretches = stretches.data(),
                       .pivots = pivots.data(),
                       .column_groups = column_groups.data()},
                      sums, stream.handle()),
          "moments");
  receive(row_squares, as_size(rows), stream, results);
  receive(column_squares, as_size(cols), stream, results);
}

void count_all(const Sent<double>& a, const Stream& stream, Results& results) {
  const DeviceArray<unsigned long long> counts(as_size(codes));
  check(set_bytes(counts.data(), 0, as_size(codes) * sizeof(unsigned long long), stream.handle()),
        "a fill");
  StoredPiece piece{};
  piece.data = reinterpret_cast<const std::byte*>(a.data());
  piece.dtype = DType::bf16, piece.rows = rows, piece.cols = 4 * cols;
  piece.row_stride = 8 * cols, piece.col_stride = 2, piece.coefficient = 1;
  check(count_codes(piece, counts.data(), stream.handle()), "counts of codes");
  receive(counts, as_size(codes), stream, results);
}

void sum_change(const Sent<double>& a, const Sent<double>& b, const DType* formats,
                const Stream& stream, Results& results) {
  const DeviceArray<ChangeTotals> totals(1);
  const DeviceArray<ChangeSums> stretches(as_size(together * across));
  check(start_change(totals.data(), stream.handle()), "a change");
  for (std::int64_t row = 0; row < rows; row += together)
    check(add_change({.before = {a.data() + row * cols, formats, true},
                      .after = {b.data() + row * cols, formats, true},
                      .row_step = cols,
                      .row0 = row,
                      .rows = std::min(together, rows - row),
                      .cols = cols,
                      .all_rows = rows,
                      .vector_lanes = lanes,
                      .stretches = stretches.data()},
                     totals.data(), stream.handle()),
          "a change");
  receive(totals, 1, stream, results);
}

Results results(const simulator::Settings& settings) {
  simulator::restart(settings);
  Results all;
  const Stream stream;
  const Sent<double> a(numbers(1), stream), b(numbers(2), stream);
  const Sent<DType> formats(std::vector<DType>(as_size(together * across), DType::f64), stream);
  survey_all(a, stream, all);
  sum_moments(a, formats.data(), stream, all);
  count_all(a, stream, all);
  sum_change(a, b, formats.data(), stream, all);
  return all;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 6) return 2;
  rows = std::atoi(arguments[4]), cols = std::atoi(arguments[5]);
  across = (cols + stretch_length - 1) / stretch_length, together = (rows + 1) / 2;
  simulator::Settings settings;
  settings.order = simulator::Order::forward;
  const Results expected = results(settings);
  settings.order = static_cast<simulator::Order>(std::atoi(arguments[1]));
  settings.timing = static_cast<simulator::Timing>(std::atoi(arguments[2]));
  settings.seed = static_cast<std::uint64_t>(std::atoi(arguments[3]));
  const Results made = results(settings);
  if (made == expected && simulator::violation().empty()) return 0;
  std::printf("other bits than in order; %s\n", simulator::violation().c_str());
  return 1;
}
