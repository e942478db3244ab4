// SPDX-License-Identifier: BSD-3-Clause
// The k largest singular triplets from the Gram matrix A^T A, or from a dense decomposition of A.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "algorithms/backend.hpp"
#include "algorithms/gram_spectrum.hpp"
#include "algorithms/rayleigh_ritz.hpp"
#include "algorithms/rounding.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

template <Backend B>
struct GramTriplets {
  Triplets<B> triplets;
  std::vector<double> errors;
  bool converged = false;  // the residuals, or the errors, are within the tolerance and the floor
  bool complete = false;   // the vectors come from a decomposition of A itself
};

struct GramOptions {
  std::int64_t k = 6;
  double tolerance = 1e-4;        // relative to sigma_1; of residuals if vectors, else of values
  double value_tolerance = 1e-4;  // where an error is above it, A itself is decomposed
  bool vectors = true;
  bool may_complete = false;  // there is memory for a decomposition of A itself
  bool at_once = false;  // start with that decomposition, since k is so large that it is cheaper
  std::uint64_t seed = 0;
  ProductErrors product_errors = {};
};

// Bound on the error of an eigenvalue of A^T A: by rounding, relative to lambda_1 by `relative`
// (gram_error), and by both products.
inline double eigenvalue_error(const std::vector<double>& s, double relative,
                               const ProductErrors& products) {
  const double largest = s.empty() ? 0.0 : s.front();
  return relative * (largest * largest) + 2 * products.at(largest) * largest;
}

// Whether the values of a solver's eigenvectors, read anew, are as large as its eigenvalues, with a
// margin for roundings. Vectors of other eigenvalues than the leading ones have small residuals,
// too.
inline bool agree(const std::vector<double>& s, const std::vector<double>& eigenvalues,
                  double error) {
  const double most = 4 * error;
  for (std::size_t i = 0; i < s.size(); ++i)
    if (!(eigenvalues[i] <= s[i] * s[i] + most)) return false;
  return true;
}

// Bounds on |s_i - sigma_i| for vectors of the k leading eigenvalues, each with an error of d.
// Values of a subspace are never above sigma_i. sigma_i^2 is at most d above the i-th computed
// eigenvalue, which is at most d above s_i^2 if the vectors are right. A residual gives no bound:
// eigenvectors of values below sqrt(d) mix, and a value with a small residual may be in the place
// of another one.
template <Backend B>
std::vector<double> gram_triplet_errors(const std::vector<double>& s,
                                        const std::vector<double>& eigenvalues, double d) {
  const double floor = rounding_floor<B>(s);
  std::vector<double> errors;
  errors.reserve(s.size());
  for (std::size_t i = 0; i < s.size(); ++i) {
    const double most = std::max(s[i] * s[i] + 2 * d, eigenvalues[i] + d);
    errors.push_back(std::sqrt(most) - s[i] + floor);
  }
  return errors;
}

// Make vectors of LAPACK orthonormal to rounding; return how far they are from that. Reflections of
// equal rows round alike, and leave more than rounding in E = X^T X - I: X - X E / 2 leaves 3/4 E^2
// (Bjorck & Bowie 1971), for 4 n k^2 flops.
template <Backend B>
double make_orthonormal(Small& x) {
  Small correction = gram_of(x);
  const double most = deviation(correction);
  if (most <= orthonormal_to<B>() / 2) return most;
  for (std::int64_t j = 0; j < x.cols; ++j) {
    correction(j, j) -= 1;
    for (std::int64_t i = 0; i <= j; ++i) {
      correction(i, j) /= 2;
      correction(j, i) = correction(i, j);
    }
  }
  const Small change = matmul(x, correction);
  for (std::size_t e = 0; e < x.values.size(); ++e) x.values[e] -= change.values[e];
  return deviation(gram_of(x));
}

// The k largest triplets of A itself, by LAPACK. Nothing is squared, so that every value is right
// to rounding. Two reads of A: LAPACK overwrites the first copy, and residuals need a second.
template <Backend B, LinearOperator A>
Triplets<B> complete_triplets(B& device, A& a, std::int64_t k) {
  auto [u, s, v] = svd(a.dense());
  u.keep_columns(k);
  v.keep_columns(k);
  Triplets<B> result;
  result.deviation = std::max(make_orthonormal<B>(u), make_orthonormal<B>(v));
  result.u = device.from_host(u);
  result.v = device.from_host(v);
  result.s.assign(s.begin(), s.begin() + k);
  const auto defects = [&result](Small product, const Small& scaled) {
    for (std::int64_t j = 0; j < product.cols; ++j)
      for (std::int64_t i = 0; i < product.rows; ++i)
        product(i, j) -= result.s[as_size(j)] * scaled(i, j);
    return column_norms(product);
  };
  const Small again = a.dense();
  finish(result, defects(matmul(again, v), u), defects(matmul_adjoint(again, u), v));
  return result;
}

// The k largest triplets from the eigenvectors of A^T A. There is no stopping rule, and no value
// can be missed. Two reads; three if rounding hides a value. If these triplets do not converge, or
// an error is above the tolerance of values, those of a decomposition of A itself.
template <Backend B, LinearOperator A>
GramTriplets<B> gram_triplets(B& device, A& a, const GramOptions& options) {
  const double relative = gram_error(a.cols(), a.gram_additions());
  GramTriplets<B> result;
  const auto within = [](const std::vector<double>& judged, const std::vector<double>& s,
                         double tolerance) {
    return *std::max_element(judged.begin(), judged.end()) <=
           tolerance * s.front() + rounding_floor<B>(s);
  };
  const auto judge = [&](Triplets<B> triplets, std::vector<double> errors) {
    const std::vector<double>& judged = options.vectors ? triplets.residuals : errors;
    result.converged =
        triplets.deviation <= orthonormal_to<B>() && within(judged, triplets.s, options.tolerance);
    result.triplets = std::move(triplets);
    result.errors = std::move(errors);
  };
  if (!options.may_complete || !options.at_once) {
    const EigenPairs top = a.gram_eigenpairs(options.k);
    std::vector<double> s;
    s.reserve(top.values.size());
    for (const double value : top.values) s.push_back(std::sqrt(std::max(value, 0.0)));
    const double error = eigenvalue_error(s, relative, options.product_errors);
    if (!options.may_complete || options.vectors ||
        within(gram_triplet_errors<B>(s, top.values, error), s, options.tolerance)) {
      auto read = rayleigh_ritz(device, a, device.from_host(top.vectors), Columns::ritz, options.k,
                                options.seed);
      const double of_read = eigenvalue_error(read.s, relative, options.product_errors);
      auto errors = gram_triplet_errors<B>(read.s, top.values, of_read);
      for (double& each : errors) each += read.factoring;
      const bool right = agree(read.s, top.values, of_read);
      judge(std::move(read), std::move(errors));
      result.converged = result.converged && right;
      const bool resolved = within(result.errors, result.triplets.s, options.value_tolerance);
      if ((result.converged && resolved) || !options.may_complete) return result;
    }
  }
  auto complete = complete_triplets(device, a, options.k);
  std::vector<double> errors(complete.s.size(), rounding_floor<B>(complete.s));
  judge(std::move(complete), std::move(errors));
  result.complete = true;
  return result;
}

}  // namespace sigmascope
