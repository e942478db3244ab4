// SPDX-License-Identifier: BSD-3-Clause
// A second backend, written to be read: plain loops over std::vector in fp64, one thread, no tiles,
// no ISA. It proves that the algorithms assume nothing about the CPU backend, and is an oracle for
// it. Compiled by the tests.
#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "algorithms/block_krylov.hpp"
#include "algorithms/gram_spectrum.hpp"
#include "algorithms/randomized_svd.hpp"

namespace sigmascope {

struct PlainBlock {
  std::int64_t rows = 0, cols = 0;
  std::vector<double> values;  // row-major
  double& at(std::int64_t i, std::int64_t j) {
    return values[static_cast<std::size_t>(i * cols + j)];
  }
  double at(std::int64_t i, std::int64_t j) const {
    return values[static_cast<std::size_t>(i * cols + j)];
  }
};

struct PlainBackend {
  using Block = PlainBlock;

  static double epsilon() { return 0x1p-53; }
  static constexpr std::int64_t columns_together = 1;
  static double check_cost_root(double, std::int64_t) { return 6; }
  Block zeros(std::int64_t m, std::int64_t k) {
    return {m, k, std::vector<double>(static_cast<std::size_t>(m * k), 0.0)};
  }

  Block gaussian(std::int64_t m, std::int64_t k, std::uint64_t seed, std::int64_t column0) {
    Block x = zeros(m, k);
    std::normal_distribution<double> normal;
    for (std::int64_t j = 0; j < k; ++j) {
      std::mt19937_64 generator(seed * 1000003 + static_cast<std::uint64_t>(column0 + j));
      for (std::int64_t i = 0; i < m; ++i) x.at(i, j) = normal(generator);
    }
    return x;
  }

  Small inner(std::span<const Block> xs, const Block& y) {
    std::int64_t cols = 0, first = 0;
    for (const Block& x : xs) cols += x.cols;
    Small c(cols, y.cols);
    for (const Block& x : xs) {
      for (std::int64_t i = 0; i < x.rows; ++i)
        for (std::int64_t a = 0; a < x.cols; ++a)
          for (std::int64_t b = 0; b < y.cols; ++b) c(first + a, b) += x.at(i, a) * y.at(i, b);
      first += x.cols;
    }
    return c;
  }

  Small inner_and_gram(std::span<const Block> xs, const Block& y) {
    const Small products = inner(xs, y), gram = inner(std::span(&y, 1), y);
    Small both(products.rows + gram.rows, y.cols);
    both.set_part(0, 0, products);
    both.set_part(products.rows, 0, gram);
    return both;
  }

  void combine(Block& y, std::span<const Block> xs, const Small& c) {
    std::int64_t first = 0;
    for (const Block& x : xs) {
      for (std::int64_t i = 0; i < y.rows; ++i)
        for (std::int64_t a = 0; a < x.cols; ++a)
          for (std::int64_t b = 0; b < y.cols; ++b) y.at(i, b) += x.at(i, a) * c(first + a, b);
      first += x.cols;
    }
  }

  Small to_host(const Block& x) {
    Small c(x.rows, x.cols);
    for (std::int64_t i = 0; i < x.rows; ++i)
      for (std::int64_t j = 0; j < x.cols; ++j) c(i, j) = x.at(i, j);
    return c;
  }

  Block from_host(const Small& c) {
    Block x = zeros(c.rows, c.cols);
    for (std::int64_t i = 0; i < c.rows; ++i)
      for (std::int64_t j = 0; j < c.cols; ++j) x.at(i, j) = c(i, j);
    return x;
  }

  std::vector<double> eigvalsh(Small& a, GramProducts) {
    std::vector<double> values = eigh(a).values;
    std::reverse(values.begin(), values.end());
    return values;
  }
};

struct PlainOperator {
  using Block = PlainBlock;
  PlainBackend& device;
  const Block& a;
  std::int64_t count = 0;

  std::int64_t rows() const { return a.rows; }
  std::int64_t cols() const { return a.cols; }
  std::int64_t reads() const { return count; }
  Block multiply(const Block& x, Products = Products::full) {
    ++count;
    Block y = device.zeros(a.rows, x.cols);
    for (std::int64_t i = 0; i < a.rows; ++i)
      for (std::int64_t p = 0; p < a.cols; ++p)
        for (std::int64_t j = 0; j < x.cols; ++j) y.at(i, j) += a.at(i, p) * x.at(p, j);
    return y;
  }
  Block multiply_adjoint(const Block& y, Products = Products::full) {
    ++count;
    Block z = device.zeros(a.cols, y.cols);
    for (std::int64_t i = 0; i < a.rows; ++i)
      for (std::int64_t p = 0; p < a.cols; ++p)
        for (std::int64_t j = 0; j < y.cols; ++j) z.at(p, j) += a.at(i, p) * y.at(i, j);
    return z;
  }
  Block gram_step(const Block& x, Block* y, Products = Products::full) {
    Block image = multiply(x), z = multiply_adjoint(image);
    --count;
    if (y != nullptr) *y = std::move(image);
    return z;
  }
  bool has_bf16x2() const { return false; }
  Block gram_step_bf16(const Block& x) { return gram_step(x, nullptr); }
  Small dense() {
    ++count;
    return device.to_host(a);
  }
  Small gram() {
    ++count;
    return inner(device, a, a);
  }
  std::vector<double> gram_eigenvalues() {
    Small g = gram();
    return device.eigvalsh(g, GramProducts::full);
  }
  EigenPairs gram_eigenpairs(std::int64_t k) {
    EigenPairs pairs = eigh(gram());
    pairs.values.resize(as_size(k)), pairs.vectors.keep_columns(k);
    return pairs;
  }
  std::int64_t gram_additions() const { return rows(); }
  Gram fast_gram() { return Gram{gram()}; }
};

static_assert(Backend<PlainBackend> && LinearOperator<PlainOperator>);

namespace {

PlainBlock dense(const double* values, std::int64_t m, std::int64_t n) {
  return {m, n, std::vector<double>(values, values + m * n)};
}

double norm2(const PlainBlock& a) {
  double sum = 0;
  for (const double value : a.values) sum += value * value;
  return sum;
}

}  // namespace

}  // namespace sigmascope

using namespace sigmascope;

// m >= n. s, residuals, errors (k); info: converged, injected, columns, steps, reads.
extern "C" int plain_krylov(const double* values, std::int64_t m, std::int64_t n, std::int64_t k,
                            double tolerance, std::int64_t block, std::int64_t max_steps,
                            std::int64_t hard_restart_columns, std::uint64_t seed, int vectors,
                            double* s, double* residuals, double* errors, std::int64_t* info) {
  PlainBackend device;
  const PlainBlock matrix = dense(values, m, n);
  PlainOperator a{device, matrix};
  const KrylovOptions options{.k = k,
                              .tolerance = tolerance,
                              .block = block,
                              .max_steps = max_steps,
                              .hard_restart_columns = hard_restart_columns,
                              .seed = seed,
                              .vectors = vectors != 0,
                              .density = true};
  const auto result = block_krylov(device, a, norm2(matrix), options);
  std::copy(result.triplets.s.begin(), result.triplets.s.end(), s);
  std::copy(result.residuals.begin(), result.residuals.end(), residuals);
  std::copy(result.errors.begin(), result.errors.end(), errors);
  const std::int64_t facts[] = {result.converged, result.injected, result.columns, result.steps,
                                a.reads()};
  std::copy(std::begin(facts), std::end(facts), info);
  return result.quadrature ? 0 : 1;
}

extern "C" void plain_randomized_svd(const double* values, std::int64_t m, std::int64_t n,
                                     std::int64_t k, std::int64_t block, std::int64_t passes,
                                     std::uint64_t seed, double* s, double* errors) {
  PlainBackend device;
  const PlainBlock matrix = dense(values, m, n);
  PlainOperator a{device, matrix};
  double fro2 = 0;
  for (std::int64_t e = 0; e < m * n; ++e) fro2 += values[e] * values[e];
  const auto result =
      randomized_svd(device, a, fro2, {.k = k, .block = block, .passes = passes, .seed = seed});
  std::copy(result.triplets.s.begin(), result.triplets.s.end(), s);
  std::copy(result.errors.begin(), result.errors.end(), errors);
}

extern "C" void plain_gram_spectrum(const double* values, std::int64_t m, std::int64_t n,
                                    double* s) {
  PlainBackend device;
  const PlainBlock matrix = dense(values, m, n);
  PlainOperator a{device, matrix};
  const auto result = gram_spectrum(device, a, GramProducts::full);
  std::copy(result.values.begin(), result.values.end(), s);
}

// The k values as they are read from a complete space (m >= n) with vectors that are not those of
// its projection: pairs of vectors i and n - 1 - i are rotated by `angle`. Returns `converged`.
extern "C" int plain_wrong_vectors(const double* values, std::int64_t m, std::int64_t n,
                                   std::int64_t k, std::int64_t block, double angle, double* s,
                                   double* errors) {
  PlainBackend device;
  const PlainBlock matrix = dense(values, m, n);
  PlainOperator a{device, matrix};
  const KrylovOptions options{.k = k, .tolerance = 1e-8, .block = block, .seed = 1};
  KrylovSpace<PlainBackend> space(device, n, block, options.seed);
  while (!space.exhausted()) space.expand(a, nullptr);
  Assessment assessment = assess(space, norm2(matrix), k, n, Rounding{}, false);
  Small vectors = assessment.vectors.first(n);
  for (std::int64_t i = 0; i < n / 2; ++i)
    for (std::int64_t row = 0; row < n; ++row) {
      double &x = vectors(row, i), &y = vectors(row, n - 1 - i);
      const double before = x;
      x = std::cos(angle) * before + std::sin(angle) * y;
      y = std::cos(angle) * y - std::sin(angle) * before;
    }
  assessment.vectors = RitzVectors(vectors);
  KrylovResult<PlainBackend> result;
  ReadOut<PlainBackend, PlainOperator>(device, a, space, assessment, options,
                                       {.fro2 = norm2(matrix),
                                        .lowest_precision = Products::full,
                                        .placement = Placement::sure,
                                        .k = k,
                                        .whole_basis = false})
      .into(result);
  std::copy(result.triplets.s.begin(), result.triplets.s.end(), s);
  std::copy(result.errors.begin(), result.errors.end(), errors);
  return result.converged;
}
