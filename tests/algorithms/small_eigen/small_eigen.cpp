// SPDX-License-Identifier: BSD-3-Clause
// The eigenproblems of algorithms/small_eigen.cpp, for test_small_eigen.py. Matrices are symmetric.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "algorithms/small_dense.hpp"

using sigmascope::Small;

namespace {

Small symmetric(const double* from, std::int64_t n) {
  Small matrix(n, n);
  std::copy_n(from, n * n, matrix.data());
  return matrix;
}

}  // namespace

extern "C" {

// The k largest pairs: values (k) and vectors (k x n, one after the other).
void top_eigenpairs(const double* matrix, std::int64_t n, std::int64_t k, double* values,
                    double* vectors) {
  const auto found = sigmascope::top_eigenpairs(symmetric(matrix, n), k);
  std::copy(found.values.begin(), found.values.end(), values);
  std::copy_n(found.vectors.data(), n * k, vectors);
}

// All values (n), and of each vector its first and its last entries: n x (first + last). Then the
// vectors of the k largest values (k x n).
int eigen_rows(const double* matrix, std::int64_t n, std::int64_t first, std::int64_t last,
               std::int64_t k, double* values, double* rows, double* vectors) {
  const sigmascope::Tridiagonalized reduced(symmetric(matrix, n));
  const auto found = sigmascope::eigen_rows(reduced, first, last);
  if (!found) return 0;
  std::copy(found->values.begin(), found->values.end(), values);
  for (std::int64_t j = 0; j < n; ++j) {
    rows = std::copy_n(found->first.data() + j * first, first, rows);
    rows = std::copy_n(found->last.data() + j * last, last, rows);
  }
  const std::vector<double> leading(found->values.begin(), found->values.begin() + k);
  std::copy_n(sigmascope::top_eigenvectors(reduced, leading, k).data(), n * k, vectors);
  return 1;
}
}
