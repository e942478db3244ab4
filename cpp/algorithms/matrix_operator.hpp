// SPDX-License-Identifier: BSD-3-Clause
// A stored matrix as a linear operator on a backend. No other algorithm header names Matrix.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "algorithms/backend.hpp"
#include "algorithms/rounding.hpp"
#include "algorithms/small_dense.hpp"
#include "matrix/matrix.hpp"

namespace sigmascope {

// A device with eigenvectors of Gram matrices that it forms. It has none of small ones, which are
// diagonalised on the host.
template <class B>
concept DiagonalizesGram = requires(B& device, const MatrixView& a, std::int64_t k) {
  { device.gram_eigenpairs(a, k) } -> std::same_as<std::optional<EigenPairs>>;
};

template <Backend B>
class MatrixOperator {
 public:
  using Block = typename B::Block;

  // `rounded`: the matrix of bf16 products, for example a copy of `view` in bf16; the same shape.
  MatrixOperator(B& backend, MatrixView view, MatrixView rounded)
      : backend_(backend), view_(view), rounded_(rounded) {}

  std::int64_t rows() const { return view_.rows(); }
  std::int64_t cols() const { return view_.cols(); }
  std::int64_t reads() const { return reads_; }
  bool has_bf16x2() const { return backend_.splits(view_); }

  Block multiply(const Block& x, Products products = Products::full) {
    ++reads_;
    return products == Products::full ? backend_.multiply(view_, x)
                                      : backend_.multiply(view_, x, bf16_parts);
  }
  Block multiply_adjoint(const Block& y, Products products = Products::full) {
    ++reads_;
    return products == Products::full ? backend_.multiply_adjoint(view_, y)
                                      : backend_.multiply_adjoint(view_, y, bf16_parts);
  }
  Block gram_step(const Block& x, Block* y, Products products = Products::full) {
    ++reads_;
    return products == Products::full ? backend_.gram_step(view_, x, y)
                                      : backend_.gram_step(view_, x, y, bf16_parts);
  }
  Block gram_step_bf16(const Block& x) { return ++reads_, backend_.steer(rounded_, x); }
  Small dense() { return ++reads_, backend_.dense(view_); }
  std::vector<double> gram_eigenvalues() { return ++reads_, backend_.gram_eigenvalues(view_); }
  EigenPairs gram_eigenpairs(std::int64_t k) {
    ++reads_;
    if constexpr (DiagonalizesGram<B>)
      if (auto pairs = backend_.gram_eigenpairs(view_, k)) return std::move(*pairs);
    return top_eigenpairs(backend_.gram(view_, GramProducts::full).values, k);
  }
  std::int64_t gram_additions() const { return backend_.gram_additions(view_); }
  Gram fast_gram() { return ++reads_, backend_.gram(view_, GramProducts::fast); }

 private:
  static constexpr int bf16_parts = 2;
  B& backend_;
  MatrixView view_, rounded_;
  std::int64_t reads_ = 0;
};

}  // namespace sigmascope
