// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/blocks/lapack.hpp"

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <stdexcept>

#include "matrix/small.hpp"

extern "C" {
void scipy_dgemv_(const char*, const int*, const int*, const double*, const double*, const int*,
                  const double*, const int*, const double*, double*, const int*);
void scipy_dsyrk_(const char*, const char*, const int*, const int*, const double*, const double*,
                  const int*, const double*, double*, const int*);
void scipy_dsymm_(const char*, const char*, const int*, const int*, const double*, const double*,
                  const int*, const double*, const int*, const double*, double*, const int*);
void scipy_dtrmm_(const char*, const char*, const char*, const char*, const int*, const int*,
                  const double*, const double*, const int*, double*, const int*);
}

namespace sigmascope {

namespace {

// Integers from -7 to 7: sums of a few of their products are exact in fp64, in any order.
Small integers(int order, std::uint32_t seed) {
  Small a(order, order);
  for (double& value : a.values) {
    seed = seed * 1664525 + 1013904223;
    value = static_cast<double>(seed >> 16 & 15) - 8;
    if (value == -8) value = 7;
  }
  return a;
}

template <class Entry>
Small tabulate(int order, const Entry& entry) {
  Small a(order, order);
  for (int j = 0; j < order; ++j)
    for (int i = 0; i < order; ++i) a(i, j) = entry(i, j);
  return a;
}

Small transpose(const Small& a) {
  return tabulate(static_cast<int>(a.rows), [&](int i, int j) { return a(j, i); });
}

Small multiply(const Small& a, const Small& b) {
  return tabulate(static_cast<int>(a.rows), [&](int i, int j) {
    double sum = 0;
    for (std::int64_t k = 0; k < a.cols; ++k) sum += a(i, k) * b(k, j);
    return sum;
  });
}

void compare(const char* routine, const Small& computed, const Small& exact) {
  for (std::size_t e = 0; e < exact.values.size(); ++e)
    if (!(computed.values[e] == exact.values[e])) {
      std::ostringstream message;
      message << "OpenBLAS computes wrong products on this processor with its kernels for "
              << scipy_openblas_get_corename() << ": an entry of " << routine
              << " of two integer matrices of order " << exact.rows << " is " << computed.values[e]
              << ", but " << exact.values[e]
              << " is exact. Choose other kernels before Python starts: OPENBLAS_CORETYPE="
#if defined(__aarch64__)
              << "ARMV8";
#else
              << "PRESCOTT";
#endif
      throw std::runtime_error(message.str());
    }
}

void check_products(int order) {
  const Small a = integers(order, 1), b = integers(order, 2);
  const double one = 1, zero = 0;
  const int stride = 1, *n = &order;
  for (const char* left : {"N", "T"})
    for (const char* right : {"N", "T"}) {
      Small product(order, order);
      scipy_dgemm_(left, right, n, n, n, &one, a.data(), n, b.data(), n, &zero, product.data(), n);
      compare("dgemm", product,
              multiply(*left == 'T' ? transpose(a) : a, *right == 'T' ? transpose(b) : b));
    }

  const Small symmetric = tabulate(order, [&](int i, int j) { return i < j ? a(i, j) : a(j, i); });
  Small product(order, order);
  scipy_dsymm_("L", "L", n, n, &one, symmetric.data(), n, b.data(), n, &zero, product.data(), n);
  compare("dsymm", product, multiply(symmetric, b));

  scipy_dsyrk_("U", "T", n, n, &one, a.data(), n, &zero, product.data(), n);
  const Small square = multiply(transpose(a), a);
  compare("dsyrk",
          tabulate(order, [&](int i, int j) { return i <= j ? product(i, j) : square(i, j); }),
          square);

  const Small triangle = tabulate(order, [&](int i, int j) { return i <= j ? a(i, j) : 0; });
  product = b;
  scipy_dtrmm_("L", "U", "N", "N", n, n, &one, a.data(), n, product.data(), n);
  compare("dtrmm", product, multiply(triangle, b));

  Small vector = multiply(symmetric, b);  // the first column is computed
  std::fill_n(vector.data(), order, 0.0);
  scipy_dsymv_("L", n, &one, symmetric.data(), n, b.data(), &stride, &zero, vector.data(), &stride);
  compare("dsymv", vector, multiply(symmetric, b));

  vector = square;
  std::fill_n(vector.data(), order, 0.0);
  scipy_dgemv_("T", n, n, &one, a.data(), n, a.data(), &stride, &zero, vector.data(), &stride);
  compare("dgemv", vector, square);
}

}  // namespace

void check_products() {
  scipy_openblas_set_num_threads(1);  // to start the others takes 8 ms
  // Less than a vector, and several with a rest.
  for (const int order : {3, 37}) check_products(order);
}

}  // namespace sigmascope
