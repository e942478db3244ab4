// SPDX-License-Identifier: BSD-3-Clause
// Every singular value, as the square roots of the eigenvalues of A^T A in fp64: one read of A.
// An eigenvalue is wrong by at most d = c epsilon lambda_1, hence sigma by min(d / (2 sigma), sqrt(d)): nothing below
// sqrt(d) ~ 1e-7 sigma_1 is resolved. Work: m n^2 + 4/3 n^3 flops; memory: 2 n^2 fp64 numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "algorithms/backend.hpp"
#include "algorithms/rayleigh_ritz.hpp"

namespace sigmascope {

struct GramSpectrum {
  std::vector<double> values, errors;  // sigma, descending
  double floor = 0;                    // sigma: nothing below is resolved
};

// Error of an eigenvalue, as a share of lambda_1: measured at most 1e-14 up to n = 8192, doubled.
inline constexpr double gram_error = 2e-14;

template <Backend B, LinearOperator A>
GramSpectrum gram_spectrum(B& device, A& a) {
  Small g = a.gram();
  std::vector<double> lambda = device.eigvalsh(g);
  std::reverse(lambda.begin(), lambda.end());
  GramSpectrum result;
  const double d = gram_error * (lambda.empty() ? 0.0 : std::max(lambda.front(), 0.0));
  result.floor = std::sqrt(d);
  for (const double value : lambda) {
    const double sigma = std::sqrt(std::max(value, 0.0));
    result.values.push_back(sigma);
    result.errors.push_back(sigma > 0 ? std::min(d / (2 * sigma), result.floor) + 4e-16 * result.values.front()
                                      : result.floor);
  }
  return result;
}

// The k largest triplets from the eigenvectors of A^T A: no stopping rule, nothing can be missed. Three reads.
template <Backend B, LinearOperator A>
Triplets<B> gram_triplets(B& device, A& a, std::int64_t k, std::uint64_t seed) {
  const Eigen top = eigh_top(a.gram(), k);
  return rayleigh_ritz(device, a, device.from_host(top.vectors), k, seed, true);
}

// Bounds on |s_i - sigma_i| for gram_triplets. A subspace's values are never above sigma_i; sigma_i^2 is at most d
// above the i-th computed eigenvalue, and that at most d above s_i^2. A residual would not do: below sqrt(d) the
// eigenvectors mix, and a value with a small residual may stand in another's place.
template <Backend B>
std::vector<double> gram_triplet_errors(const std::vector<double>& s) {
  const double floor = rounding_floor<B>(s), d = gram_error * (s.empty() ? 0.0 : s.front() * s.front());
  std::vector<double> errors;
  errors.reserve(s.size());
  for (const double value : s) errors.push_back(std::sqrt(value * value + 2 * d) - value + floor);
  return errors;
}

}  // namespace sigmascope
