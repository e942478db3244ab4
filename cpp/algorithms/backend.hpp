// SPDX-License-Identifier: BSD-3-Clause
// The concepts between algorithms and devices.
//
// An algorithm sees blocks (tall and thin, on the device) and small matrices (on the host, fp64).
// Orthonormalisation, Rayleigh-Ritz and every decision belong to the algorithms, so that a device
// needs no QR and no SVD.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <vector>

#include "algorithms/rounding.hpp"
#include "matrix/small.hpp"

namespace sigmascope {

// A device and its blocks.
template <class B>
concept Backend = requires(B& device, typename B::Block& y, const typename B::Block& x,
                           std::span<const typename B::Block> xs, const Small& c, Small& host,
                           std::int64_t n, std::uint64_t seed, GramProducts products, double size) {
  // Unit roundoff of a block's numbers.
  { B::epsilon() } -> std::convertible_to<double>;
  // Columns of a block that cost as much as one of them.
  { B::columns_together } -> std::convertible_to<std::int64_t>;
  { x.rows } -> std::convertible_to<std::int64_t>;
  { x.cols } -> std::convertible_to<std::int64_t>;
  { device.zeros(n, n) } -> std::same_as<typename B::Block>;
  // rows, cols, seed, first column of the random matrix
  { device.gaussian(n, n, seed, n) } -> std::same_as<typename B::Block>;
  // [x_1 x_2 ...]^T y
  { device.inner(xs, x) } -> std::same_as<Small>;
  // [x_1 x_2 ... y]^T y
  { device.inner_and_gram(xs, x) } -> std::same_as<Small>;
  // y += [x_1 x_2 ...] c
  { device.combine(y, xs, c) };
  // Ascending eigenvalues; overwrites its argument.
  { device.eigvalsh(host, products) } -> std::same_as<std::vector<double>>;
  // The root of the costs of a check and of a column, see CheckSchedule: of a matrix of `size`
  // entries and a block of n columns.
  { device.check_cost_root(size, n) } -> std::convertible_to<double>;
  { device.to_host(x) } -> std::same_as<Small>;
  { device.from_host(c) } -> std::same_as<typename B::Block>;
};

// The same for a single block x.
template <Backend B>
Small inner(B& device, const typename B::Block& x, const typename B::Block& y) {
  return device.inner(std::span(&x, 1), y);
}
template <Backend B>
void combine(B& device, typename B::Block& y, const typename B::Block& x, const Small& c) {
  device.combine(y, std::span(&x, 1), c);
}

// A (rows x cols) on a device. Algorithms iterate on A^T A, so that cols should be the smaller
// side. All products and matrices below take one read of A.
template <class A>
concept LinearOperator =
    requires(A& a, const typename A::Block& x, typename A::Block* y, Products p, std::int64_t k) {
      { a.rows() } -> std::convertible_to<std::int64_t>;
      { a.cols() } -> std::convertible_to<std::int64_t>;
      // A x, with Products::full or bf16x2.
      { a.multiply(x, p) } -> std::same_as<typename A::Block>;
      // A^T x
      { a.multiply_adjoint(x, p) } -> std::same_as<typename A::Block>;
      // A^T (A x); also *y = A x unless y is null.
      { a.gram_step(x, y, p) } -> std::same_as<typename A::Block>;
      // A^T (A x) with Products::bf16, or better.
      { a.gram_step_bf16(x) } -> std::same_as<typename A::Block>;
      // Whether bf16x2 products are faster than full ones.
      { a.has_bf16x2() } -> std::convertible_to<bool>;
      // A in fp64
      { a.dense() } -> std::same_as<Small>;
      // Ascending eigenvalues of A^T A, which is formed in fp64.
      { a.gram_eigenvalues() } -> std::same_as<std::vector<double>>;
      // Its k largest eigenvalues, descending, and their vectors.
      { a.gram_eigenpairs(k) } -> std::same_as<EigenPairs>;
      // The most sums that follow one another in an element of this A^T A.
      { a.gram_additions() } -> std::same_as<std::int64_t>;
      // A^T A with fewer bits, its lower triangle
      { a.fast_gram() } -> std::same_as<Gram>;
      // Number of reads of A so far.
      { a.reads() } -> std::convertible_to<std::int64_t>;
    };

}  // namespace sigmascope
