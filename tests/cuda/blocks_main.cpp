// SPDX-License-Identifier: BSD-3-Clause
// Kernels on blocks, for the sanitizers: products of random panels in several calls, inner
// products, combinations and sums of a symmetric matrix, compared with sums in fp64. Arguments:
// order, timing, seed, number of cases.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/products.hpp"
#include "kernels/symmetric_sums.hpp"
#include "kernels/tensor_products.hpp"
#include "kernels/verbs.hpp"
#include "made_matrices.hpp"
#include "matrix/sizes.hpp"
#include "runtime/handles.hpp"
#include "simulator/settings.hpp"

namespace {

using namespace sigmascope;
using namespace sigmascope::device;

// Numbers on the host and on the device, of rows x cols with rows of `step`.
template <class T>
struct Numbers {
  std::int64_t rows, cols, step;
  std::vector<double> host;
  PinnedArray<T> staged;
  DeviceArray<T> device;

  Numbers(std::int64_t r, std::int64_t c, std::int64_t s)
      : rows(r),
        cols(c),
        step(s),
        host(as_size(r * c)),
        staged(as_size(r * s) + 1),
        device(as_size(r * s) + 1) {}

  double at(std::int64_t i, std::int64_t j) const { return host[as_size(i * cols + j)]; }
  void send(const Stream& stream) {
    check(cudaMemcpyAsync(device.data(), staged.data(), as_size(rows * step) * sizeof(T),
                          cudaMemcpyHostToDevice, stream.handle()),
          "cudaMemcpyAsync");
  }
  void receive(const Stream& stream) {
    check(cudaMemcpyAsync(staged.data(), device.data(), as_size(rows * step) * sizeof(T),
                          cudaMemcpyDeviceToHost, stream.handle()),
          "cudaMemcpyAsync");
    stream.wait();
  }
};

std::uint16_t bf16_bits(double number) {
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(number)) >> 16);
}

// Random numbers; of type std::uint16_t: bf16 numbers, with zeros that fill up a row.
template <class T>
Numbers<T> made_numbers(made::Random& random, std::int64_t rows, std::int64_t cols,
                        std::int64_t step, const Stream& stream) {
  Numbers<T> made(rows, cols, step);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < step; ++j) {
      double number = j < cols ? random.number() : 0;
      if constexpr (std::is_same_v<T, std::uint16_t>) {
        const std::uint16_t code = bf16_bits(number);
        number = static_cast<double>(std::bit_cast<float>(std::uint32_t{code} << 16));
        made.staged[as_size(i * step + j)] = code;
      } else {
        number = static_cast<double>(static_cast<T>(number));
        made.staged[as_size(i * step + j)] = static_cast<T>(number);
      }
      if (j < cols) made.host[as_size(i * cols + j)] = number;
    }
  made.send(stream);
  return made;
}

// Whether z is the sum of `terms(i, j, add)` to within `units` roundings of T.
template <class T, class Terms>
bool is_sum(const Numbers<T>& z, double units, const char* what, const Terms& terms) {
  constexpr double epsilon = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;
  for (std::int64_t i = 0; i < z.rows; ++i)
    for (std::int64_t j = 0; j < z.cols; ++j) {
      double sum = 0, magnitude = 0;
      terms(i, j, [&](double term) { sum += term, magnitude += std::abs(term); });
      const double value = static_cast<double>(z.staged[as_size(i * z.cols + j)]);
      if (std::abs(value - sum) <= units * epsilon * magnitude) continue;
      std::printf("%s: (%lld, %lld) of %lld x %lld is %.17g, not %.17g\n", what,
                  static_cast<long long>(i), static_cast<long long>(j),
                  static_cast<long long>(z.rows), static_cast<long long>(z.cols), value, sum);
      return false;
    }
  return true;
}

// L x, or L^T x of a stored panel, by tensor cores.
bool tensor_product(made::Random& random, const Stream& stream) {
  const bool transposed = random.one_in(2);
  const std::int64_t rows = random.between(1, 150), cols = random.between(1, 40),
                     depth = random.one_in(3) ? random.between(1, 2300) : random.between(1, 200);
  const std::int64_t across = transposed ? rows : depth;
  const std::int64_t step = (across + codes_at_once - 1) / codes_at_once * codes_at_once;
  const auto l =
      made_numbers<std::uint16_t>(random, transposed ? depth : rows, across, step, stream);
  const auto x = made_numbers<float>(random, depth, cols, cols, stream);
  const bool has_rest = random.one_in(2);  // L in two parts
  const auto rest =
      made_numbers<std::uint16_t>(random, transposed ? depth : rows, across, step, stream);
  const Numbers<float> group(rows, cols, cols), unfinished(rows, cols, cols);
  Numbers<float> z(rows, cols, cols);
  const std::int64_t height = transposed ? parts_rows * random.between(1, 40) : depth;
  const int parts = static_cast<int>(random.between(2, most_parts));
  float *before_it = group.device.data(), *left = unfinished.device.data();
  for (std::int64_t before = 0; before < depth; before += height) {
    const std::int64_t here = std::min(height, depth - before);
    BlockParts split(parts, here, cols);
    const DeviceArray<std::uint16_t> codes(as_size(split.size()));
    split.codes = codes.data();
    check(split_block({x.device.data() + before * cols, here, cols}, 1.0F, split, stream.handle()),
          "split_block");
    const TensorProduct product{.l = l.device.data() + before * step,
                                .rest = has_rest ? rest.device.data() + before * step : nullptr,
                                .rows = rows,
                                .depth = here,
                                .step = step,
                                .transposed = transposed,
                                .x = split,
                                .z = z.device.data(),
                                .group = before_it,
                                .unfinished = left,
                                .before = before,
                                .all = depth};
    const DeviceArray<float> workspace(as_size(product.workspace()) + 1);
    check(multiply(product, workspace.data(), stream.handle()), "multiply");
    stream.wait();  // before the memory of this call goes
    std::swap(before_it, left);
  }
  z.receive(stream);
  return is_sum(z, parts == 2 ? 80 : 4, "a product by tensor cores",
                [&](std::int64_t i, std::int64_t j, const auto& add) {
                  for (std::int64_t k = 0; k < depth; ++k)
                    for (const auto* part : {&l, &rest})
                      if (part == &l || has_rest)
                        add((transposed ? part->at(k, i) : part->at(i, k)) * x.at(k, j));
                });
}

template <class T>
bool product(made::Random& random, const Stream& stream) {
  const bool transposed = random.one_in(2);
  const bool is_long = random.one_in(20);
  const std::int64_t few = is_long ? 3 : 40, rows = random.between(1, is_long ? few : 100),
                     cols = random.between(1, few),
                     depth = random.between(1, 300) + (is_long ? block_terms : 0),
                     across = transposed ? rows : depth;
  const auto l = made_numbers<T>(random, transposed ? depth : rows, across, across, stream);
  const auto x = made_numbers<T>(random, depth, cols, cols, stream);
  Numbers<T> z(rows, cols, cols), levels(tree_levels(depth) * rows + 1, cols, cols);
  Numbers<T> one(rows, cols, cols), other(rows, cols, cols);
  T *before_it = one.device.data(), *left = other.device.data();
  const std::int64_t height =
      transposed ? product_chain * random.between(1, is_long ? 500 : 5) : depth;
  for (std::int64_t before = 0; before < depth; before += height) {
    const Product<T> product{.l = l.device.data() + before * across,
                             .rows = rows,
                             .depth = std::min(height, depth - before),
                             .row_step = transposed ? 1 : across,
                             .depth_step = transposed ? across : 1,
                             .x = x.device.data() + before * cols,
                             .cols = cols,
                             .x_step = cols,
                             .z = z.device.data(),
                             .group = before_it,
                             .unfinished = left,
                             .levels = levels.device.data(),
                             .before = before,
                             .all = depth};
    const DeviceArray<T> workspace(as_size(product.workspace()));
    check(multiply(product, workspace.data(), stream.handle()), "multiply");
    stream.wait();  // before the memory of this call goes
    std::swap(before_it, left);
  }
  z.receive(stream);
  return is_sum(z, 20, "a product", [&](std::int64_t i, std::int64_t j, const auto& add) {
    for (std::int64_t k = 0; k < depth; ++k)
      add((transposed ? l.at(k, i) : l.at(i, k)) * x.at(k, j));
  });
}

template <class T>
bool verbs(made::Random& random, const Stream& stream) {
  const std::int64_t rows = random.between(1, 1300), width = random.between(1, 20);
  auto y = made_numbers<T>(random, rows, width, width, stream);
  std::vector<Numbers<T>> xs;
  Row<T> few;
  for (std::int64_t count = random.between(1, 3); count > 0; --count) {
    const std::int64_t cols = random.between(1, 20);
    xs.push_back(made_numbers<T>(random, rows, cols, cols, stream));
    few.add(xs.back().device.data(), cols);
  }
  const std::int64_t parts = (rows + inner_rows - 1) / inner_rows;
  const DeviceArray<double> partial(as_size(parts * few.all * width));
  Numbers<double> sums(few.all, width, width);
  check(inner(few, BlockView<const T>{y.device.data(), rows, width}, partial.data(),
              sums.device.data(), stream.handle()),
        "inner");
  const auto c = made_numbers<T>(random, few.all, width, width, stream);
  Numbers<T> sum(rows, width, width);
  check(cudaMemcpyAsync(sum.device.data(), y.device.data(), as_size(rows * width) * sizeof(T),
                        cudaMemcpyDeviceToDevice, stream.handle()),
        "cudaMemcpyAsync");
  check(
      combine(BlockView<T>{sum.device.data(), rows, width}, few, c.device.data(), stream.handle()),
      "combine");
  sums.receive(stream);
  sum.receive(stream);
  const auto column = [&](std::int64_t row, std::int64_t k) {
    std::size_t block = 0;
    while (k >= xs[block].cols) k -= xs[block++].cols;
    return xs[block].at(row, k);
  };
  const double units = sizeof(T) == 4 ? 0x1p33 : 60;  // sums of chains of T, in fp64
  return is_sum(sums, units, "an inner product",
                [&](std::int64_t i, std::int64_t j, const auto& add) {
                  for (std::int64_t r = 0; r < rows; ++r) add(column(r, i) * y.at(r, j));
                }) &&
         is_sum(sum, 60, "a combination", [&](std::int64_t i, std::int64_t j, const auto& add) {
           add(y.at(i, j));
           for (std::int64_t k = 0; k < few.all; ++k) add(column(i, k) * c.at(k, j));
         });
}

// Sums over the lower triangle of a matrix by columns.
bool symmetric_sums(made::Random& random, const Stream& stream) {
  const std::int64_t n = random.one_in(3) ? random.between(1, 600) : random.between(1, 70);
  const auto a = made_numbers<double>(random, n, n, n, stream);
  Numbers<double> sums(n, 2, 2);
  check(sum_columns(a.device.data(), n, sums.device.data(), stream.handle()), "sum_columns");
  sums.receive(stream);
  return is_sum(sums, 20, "a sum of a matrix",
                [&](std::int64_t j, std::int64_t what, const auto& add) {
                  if (what == 0) return add(a.at(j, j));
                  add(a.at(j, j) * a.at(j, j));
                  for (std::int64_t i = j + 1; i < n; ++i) add(2 * a.at(j, i) * a.at(j, i));
                });
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) return 2;
  const auto argument = [&](int i) { return std::atoi(arguments[i]); };
  simulator::Settings settings;
  settings.order = static_cast<simulator::Order>(argument(1));
  settings.timing = static_cast<simulator::Timing>(argument(2));
  settings.seed = static_cast<std::uint64_t>(argument(3)) + 1;
  simulator::restart(settings);
  made::Random random(settings.seed);
  bool right = true;
  {
    const Stream stream;
    for (int number = 0; right && number < argument(4); ++number)
      right = tensor_product(random, stream) && product<float>(random, stream) &&
              product<double>(random, stream) && verbs<float>(random, stream) &&
              verbs<double>(random, stream) && symmetric_sums(random, stream);
  }
  if (!simulator::violation().empty()) std::printf("%s\n", simulator::violation().c_str());
  return right && simulator::violation().empty() && simulator::objects_in_use() == 0 ? 0 : 1;
}
