// SPDX-License-Identifier: BSD-3-Clause
// What a fast Gram matrix G errs by, measured: E = G - A^T A times vectors, of which A^T A comes
// from products in fp64.
//
// What E does to eigenvalues is estimated as if rounding errors were independent: then v^T E v is
// as small as an element. Where products repeat, they are not, and E is like G: of a Toeplitz
// matrix nearly one, of few distinct values nearly a multiple of ones. Ritz vectors of G show that,
// from a Lanczos run on G (Golub & Meurant 2010): each is made of singular vectors near its own
// value, and y^T E y is what E moves those by in the mean. One read of A.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "algorithms/backend.hpp"
#include "algorithms/small_dense.hpp"

namespace sigmascope {

struct GramErrors {
  double deviation = 0;         // rms of the elements, as Gram::error is, twice what was seen
  std::vector<double> nodes;    // lambda, descending,
  std::vector<double> moved{};  // and how far E was seen to move what is there

  // What eigenvalues at this place were seen to move by, times a margin: at the two nodes on each
  // side. A mean over vectors near a node hides that some move further; of Hankel matrices, 4.8
  // times as far.
  static constexpr double margin = 10;
  double at(double value) const {
    const auto next =
        std::lower_bound(nodes.begin(), nodes.end(), value, std::greater<>()) - nodes.begin();
    const auto size = static_cast<std::ptrdiff_t>(nodes.size());
    double most = 0;
    for (auto j = std::max<std::ptrdiff_t>(next - 2, 0); j < std::min(next + 2, size); ++j)
      most = std::max(most, margin * moved[static_cast<std::size_t>(j)]);
    return most;
  }
};

// Ritz vectors of a symmetric matrix from a random start, and their values, descending: Lanczos
// with all vectors orthogonalised twice.
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

// Share of E's square that is like G: an E that is turns a vector of singular vectors near theta
// into such; one of independent elements into any, whose lambdas spread as all of G's do. Those far
// above the rest, which would be all of a spread, are left out: the first Ritz vectors.
inline double share_alike(const Small& g, const EigenPairs& ritz, const Small& errors) {
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
    trace -= ritz.values[static_cast<std::size_t>(j)];
    squares -= ritz.values[static_cast<std::size_t>(j)] * ritz.values[static_cast<std::size_t>(j)];
  }
  const Small first = ritz.vectors.part(0, n, 0, outliers);
  Small turned = errors.part(0, n, outliers, errors.cols);
  const Small outside = matmul(first, matmul_adjoint(first, turned));
  for (std::size_t e = 0; e < turned.values.size(); ++e) turned.values[e] -= outside.values[e];
  const Small image = symmetric_product(g, turned);
  double unlike = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    const double theta = ritz.values[static_cast<std::size_t>(outliers + j)],
                 spread = (squares - 2 * theta * trace) / rest + theta * theta;
    double size = 0, away = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const double off = image(i, j) - theta * turned(i, j);
      size += turned(i, j) * turned(i, j);
      away += off * off;
    }
    // Of equal values, which count together anyway, nothing can be told.
    if (!(size > 0) || !(spread > 1e-6 * ritz.values[outliers] * ritz.values[outliers])) return 0;
    unlike += away / (size * spread) / static_cast<double>(count);
  }
  return 1 - unlike;
}

template <Backend B, LinearOperator A>
GramErrors measured_errors(B& device, A& a, const Gram& gram) {
  constexpr std::int64_t steps = 32;
  constexpr double most_unlike = 0.3;  // independent elements come to 0.1
  const Small& g = gram.values;
  const EigenPairs ritz = lanczos(g, device.to_host(device.gaussian(g.rows, 1, 0, 0)), steps);
  GramErrors found{.nodes = ritz.values};
  if (ritz.values.empty()) return found;
  Small errors = symmetric_product(g, ritz.vectors);
  const Small exact =
      device.to_host(a.gram_step(device.from_host(ritz.vectors), nullptr, Products::full));
  for (std::size_t e = 0; e < errors.values.size(); ++e) errors.values[e] -= exact.values[e];
  std::vector<double> norms = column_norms(errors);
  // Shifts of both signs may cancel in the mean over a Ritz vector, not in the norm.
  const bool alike = share_alike(g, ritz, errors) > most_unlike;
  for (std::int64_t j = 0; j < errors.cols; ++j) {
    double quotient = 0;
    for (std::int64_t i = 0; i < errors.rows; ++i) quotient += ritz.vectors(i, j) * errors(i, j);
    found.moved.push_back(
        std::max(std::abs(quotient), alike ? 2 * norms[static_cast<std::size_t>(j)] : 0.0));
  }
  const auto middle = norms.begin() + static_cast<std::ptrdiff_t>(norms.size() / 2);
  std::nth_element(norms.begin(), middle, norms.end());
  found.deviation = 2 * *middle / std::sqrt(static_cast<double>(g.rows));
  return found;
}

}  // namespace sigmascope
