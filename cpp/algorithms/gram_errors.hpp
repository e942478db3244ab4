// SPDX-License-Identifier: BSD-3-Clause
// Measured errors of a fast Gram matrix G: the products of E = G - A^T A with some vectors, where
// A^T A is applied in fp64. One read of A.
//
// The effect of E on eigenvalues is estimated as if rounding errors were independent: v^T E v is
// then as small as an element of E. If products of entries repeat, rounding errors are not
// independent, and E has the structure of G: it is nearly a Toeplitz matrix if A is one, and nearly
// a multiple of the matrix of ones if A has few distinct values. Ritz vectors y of a Lanczos run on
// G (Golub & Meurant 2010) show this. Each is a combination of singular vectors near its own value,
// and y^T E y is the mean shift of their eigenvalues.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "algorithms/backend.hpp"
#include "algorithms/small_dense.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

struct GramErrors {
  double deviation = 0;         // rms of E's elements, like Gram::error: twice the measured one
  std::vector<double> nodes;    // lambda, descending
  std::vector<double> moved{};  // measured shift of the eigenvalues near each node

  // The largest measured shift at the two nodes on each side of an eigenvalue, times a margin. The
  // shift at a node is a mean, and single eigenvalues move further: up to 4.8 times as far for
  // Hankel matrices.
  static constexpr double margin = 10;
  double at(double value) const {
    const auto next =
        std::lower_bound(nodes.begin(), nodes.end(), value, std::greater<>()) - nodes.begin();
    const auto size = static_cast<std::ptrdiff_t>(nodes.size());
    double most = 0;
    for (auto j = std::max<std::ptrdiff_t>(next - 2, 0); j < std::min(next + 2, size); ++j)
      most = std::max(most, margin * moved[as_size(j)]);
    return most;
  }
};

// Ritz pairs of a symmetric matrix, descending, by the Lanczos method from a random start. All
// vectors are orthogonalised twice.
inline EigenPairs lanczos(const Small& g, Small start, std::int64_t steps) {
  const std::int64_t n = g.rows;
  Small v(n, 0), t(0, 0), next = std::move(start);
  double scale = 0;
  while (v.cols < steps) {
    const double norm = column_norms(next).front();
    if (!(norm > 1e-10 * scale)) break;
    for (double& x : next.values) x /= norm;
    Small longer(n, v.cols + 1), larger(v.cols + 1, v.cols + 1);
    longer.set_part(0, 0, v);
    longer.set_part(0, v.cols, next);
    v = std::move(longer);
    next = symmetric_product(g, next);
    larger.set_part(0, 0, t);
    for (int pass = 0; pass < 2; ++pass) {
      const Small c = matmul_adjoint(v, next), back = matmul(v, c);
      for (std::size_t e = 0; e < next.values.size(); ++e) next.values[e] -= back.values[e];
      for (std::int64_t i = 0; i < v.cols; ++i) larger(i, v.cols - 1) += c(i, 0);
    }
    for (std::int64_t i = 0; i < v.cols; ++i) larger(v.cols - 1, i) = larger(i, v.cols - 1);
    t = std::move(larger);
    scale = std::max(scale, t(v.cols - 1, v.cols - 1));
  }
  if (v.cols == 0) return {};
  EigenPairs ritz = eigh(t);
  ritz.vectors = matmul(v, ritz.vectors);
  return ritz;
}

// The share of ||E||^2 that has the structure of G. Such an E maps a combination of singular
// vectors near theta to singular vectors near theta. An E of independent elements maps it to any,
// whose eigenvalues spread as all of those of G do. The first Ritz vectors are left out:
// eigenvalues far above the others would dominate the spread.
inline double structured_share(const Small& g, const EigenPairs& ritz, const Small& errors) {
  constexpr std::int64_t outliers = 8;
  const std::int64_t n = g.rows, count = errors.cols - outliers;
  if (count <= 0) return 0;
  const auto rest = static_cast<double>(n - outliers);
  double trace = 0, squares = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    trace += g(j, j);
    squares += g(j, j) * g(j, j);
    for (std::int64_t i = j + 1; i < n; ++i) squares += 2 * g(i, j) * g(i, j);
  }
  for (std::int64_t j = 0; j < outliers; ++j) {
    trace -= ritz.values[as_size(j)];
    squares -= ritz.values[as_size(j)] * ritz.values[as_size(j)];
  }
  const Small first = ritz.vectors.part(0, n, 0, outliers);
  Small images = errors.part(0, n, outliers, errors.cols);
  const Small outside = matmul(first, matmul_adjoint(first, images));
  for (std::size_t e = 0; e < images.values.size(); ++e) images.values[e] -= outside.values[e];
  const Small g_images = symmetric_product(g, images);
  double unstructured = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    const double theta = ritz.values[as_size(outliers + j)];
    const double spread = (squares - 2 * theta * trace) / rest + theta * theta;
    double size = 0, away = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const double difference = g_images(i, j) - theta * images(i, j);
      size += images(i, j) * images(i, j);
      away += difference * difference;
    }
    // If all eigenvalues are equal, the spread tells nothing, and they count together anyway.
    if (!(size > 0) || !(spread > 1e-6 * ritz.values[outliers] * ritz.values[outliers])) return 0;
    unstructured += away / (size * spread) / static_cast<double>(count);
  }
  return 1 - unstructured;
}

template <Backend B, LinearOperator A>
GramErrors measured_errors(B& device, A& a, const Gram& gram) {
  constexpr std::int64_t steps = 32;
  constexpr double least_structured_share = 0.3;  // independent elements reach 0.1
  const Small& g = gram.values;
  const EigenPairs ritz = lanczos(g, device.to_host(device.gaussian(g.rows, 1, 0, 0)), steps);
  GramErrors result{.nodes = ritz.values};
  if (ritz.values.empty()) return result;
  Small errors = symmetric_product(g, ritz.vectors);
  const Small exact =
      device.to_host(a.gram_step(device.from_host(ritz.vectors), nullptr, Products::full));
  for (std::size_t e = 0; e < errors.values.size(); ++e) errors.values[e] -= exact.values[e];
  std::vector<double> norms = column_norms(errors);
  // Shifts of both signs may cancel in the mean over a Ritz vector, but not in the norm.
  const bool structured = structured_share(g, ritz, errors) > least_structured_share;
  for (std::int64_t j = 0; j < errors.cols; ++j) {
    double quotient = 0;
    for (std::int64_t i = 0; i < errors.rows; ++i) quotient += ritz.vectors(i, j) * errors(i, j);
    result.moved.push_back(std::max(std::abs(quotient), structured ? 2 * norms[as_size(j)] : 0.0));
  }
  const auto middle = norms.begin() + static_cast<std::ptrdiff_t>(norms.size() / 2);
  std::nth_element(norms.begin(), middle, norms.end());
  result.deviation = 2 * *middle / std::sqrt(static_cast<double>(g.rows));
  return result;
}

}  // namespace sigmascope
