// SPDX-License-Identifier: BSD-3-Clause
// What a fast Gram matrix G errs by, measured: E = G - A^T A times vectors, of which A^T A comes from products in fp64.
//
// What its elements err by is estimated as if rounding errors were independent. Where products repeat, they are not: E
// of a Toeplitz matrix is nearly one, E of few distinct values nearly a multiple of ones, and its norm is far above
// that of independent errors of the same size. E is scaled by the norms of the columns, so that of independent errors
// it is much the same everywhere, with the norm 2 n^1/2 f where f is their rms (Wigner 1958). Two reads of A.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "algorithms/backend.hpp"
#include "algorithms/orthonormalize.hpp"

namespace sigmascope {

struct GramErrors {
  double deviation = 0;  // rms of the elements, as Gram::error is, twice what was seen
  double coherent = 0;  // bound on what E moves an eigenvalue of typical columns by; 0: no more than independent errors
  double largest = 0;   // the same of the largest eigenvalue
};

// Each row of x by its factor.
inline Small scaled_rows(Small x, const std::vector<double>& factors) {
  for (std::int64_t j = 0; j < x.cols; ++j)
    for (std::int64_t i = 0; i < x.rows; ++i) x(i, j) *= factors[static_cast<std::size_t>(i)];
  return x;
}

template <Backend B, LinearOperator A>
GramErrors measured_errors(B& device, A& a, const Gram& gram) {
  constexpr std::int64_t width = 8;
  constexpr double independent = 3;  // norm over n^1/2 f: 2, and a margin
  const Small& g = gram.values;
  const std::int64_t n = g.rows;
  std::vector<double> scale(static_cast<std::size_t>(n), 0.0);
  for (std::int64_t i = 0; i < n; ++i)
    if (g(i, i) > 0) scale[static_cast<std::size_t>(i)] = 1 / std::sqrt(g(i, i));
  const auto errors = [&](const Small& x) {
    Small e = symmetric_product(g, x);
    const Small truth = device.to_host(a.gram_step(device.from_host(x), nullptr, Products::full));
    for (std::size_t l = 0; l < e.values.size(); ++l) e.values[l] -= truth.values[l];
    return e;
  };
  const auto orthonormal = [&](const Small& x) {
    return device.to_host(orthonormalize(device, std::vector<typename B::Block>(), device.from_host(x), 0.0).q);
  };

  // Beside random vectors, one near that of the largest eigenvalue.
  Small random = orthonormal(device.to_host(device.gaussian(n, width, 0, 0))), top = random.part(0, n, 0, 1);
  for (int step = 0; step < 8; ++step) top = orthonormal(symmetric_product(g, top));
  if (top.cols == 0) return {};
  Small first(n, width + 1);
  first.set_part(0, 0, scaled_rows(random, scale));
  first.set_part(0, width, top);
  const Small e = errors(first), once = scaled_rows(e.part(0, n, 0, width), scale);
  double square = 0, largest = 0;
  for (const double value : once.values) square += value * value;
  for (std::int64_t i = 0; i < n; ++i) largest += top(i, 0) * e(i, width);
  const double rms = std::sqrt(square / static_cast<double>(width * n));
  if (rms == 0) return {.largest = 2 * std::abs(largest)};

  const Small twice = scaled_rows(errors(scaled_rows(orthonormal(once), scale)), scale);
  const double norm = std::sqrt(std::max(eigh(matmul_adjoint(twice, twice)).values.front(), 0.0));
  const bool of_independent = norm <= independent * std::sqrt(static_cast<double>(n)) * rms;
  return {.deviation = 2 * rms * gram.typical,
          .coherent = of_independent ? 0 : 2 * norm * gram.typical,
          .largest = 2 * std::abs(largest)};
}

}  // namespace sigmascope
