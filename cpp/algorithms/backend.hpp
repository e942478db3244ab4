// SPDX-License-Identifier: BSD-3-Clause
// What a device must supply. An algorithm sees blocks (tall, thin, on the device) and small
// matrices (host, fp64); orthonormalisation, Rayleigh-Ritz and every decision are the algorithms'
// own, so a device needs no QR and no SVD.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <vector>

#include "algorithms/rounding.hpp"
#include "matrix/small.hpp"

namespace sigmascope {

template <class B>
concept Backend = requires(B& device, typename B::Block& y, const typename B::Block& x,
                           std::span<const typename B::Block> xs, const Small& c, Small& host,
                           std::int64_t n, std::uint64_t seed, bool fast) {
  { B::epsilon() } -> std::convertible_to<double>;  // unit roundoff of a block's numbers
  { x.rows } -> std::convertible_to<std::int64_t>;
  { x.cols } -> std::convertible_to<std::int64_t>;
  { device.zeros(n, n) } -> std::same_as<typename B::Block>;
  {
    device.gaussian(n, n, seed, n)
  } -> std::same_as<typename B::Block>;            // rows, cols, seed, first column
  { device.inner(xs, x) } -> std::same_as<Small>;  // [x_1 x_2 ...]^T y
  { device.combine(y, xs, c) };                    // y += [x_1 x_2 ...] c
  {
    device.eigvalsh(host, fast)
  } -> std::same_as<std::vector<double>>;  // ascending; overwrites its argument
  { device.to_host(x) } -> std::same_as<Small>;
  { device.from_host(c) } -> std::same_as<typename B::Block>;
};

// Both of one block.
template <Backend B>
Small inner(B& device, const typename B::Block& x, const typename B::Block& y) {
  return device.inner(std::span(&x, 1), y);
}
template <Backend B>
void combine(B& device, typename B::Block& y, const typename B::Block& x, const Small& c) {
  device.combine(y, std::span(&x, 1), c);
}

// A (rows x cols) on a device; algorithms iterate on A^T A, so cols should be the smaller side.
template <class A>
concept LinearOperator =
    requires(A& a, const typename A::Block& x, typename A::Block* y, Products p) {
      { a.rows() } -> std::convertible_to<std::int64_t>;
      { a.cols() } -> std::convertible_to<std::int64_t>;
      {
        a.multiply(x, p)
      } -> std::same_as<typename A::Block>;  // A x, one read of A; full, or perhaps not
      { a.multiply_adjoint(x, p) } -> std::same_as<typename A::Block>;  // A^T x, one read
      {
        a.gram_step(x, y, p)
      } -> std::same_as<typename A::Block>;  // A^T (A x), one read; *y = A x unless null
      {
        a.steer(x)
      } -> std::same_as<typename A::Block>;         // the same, perhaps with 8 bits of every number
      { a.splits() } -> std::convertible_to<bool>;  // whether 16 bits are not all of them
      { a.dense() } -> std::same_as<Small>;         // A itself in fp64, one read
      { a.gram() } -> std::same_as<Small>;          // A^T A in fp64, its lower triangle, one read
      { a.fast_gram() } -> std::same_as<Gram>;      // the same in fewer bits, one read
      { a.reads() } -> std::convertible_to<std::int64_t>;  // reads of A so far
    };

}  // namespace sigmascope
