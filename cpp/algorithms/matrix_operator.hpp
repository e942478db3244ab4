// SPDX-License-Identifier: BSD-3-Clause
// A stored matrix as a linear operator of a backend: the only algorithm header that names Matrix.
#pragma once

#include <cstdint>

#include "algorithms/backend.hpp"
#include "algorithms/rounding.hpp"
#include "matrix/matrix.hpp"

namespace sigmascope {

template <Backend B>
class MatrixOperator {
 public:
  using Block = typename B::Block;

  // `rounded`: what `steer` multiplies with; the same shape.
  MatrixOperator(B& backend, MatrixView view, MatrixView rounded)
      : backend_(backend), view_(view), rounded_(rounded) {}

  std::int64_t rows() const { return view_.rows(); }
  std::int64_t cols() const { return view_.cols(); }
  std::int64_t reads() const { return reads_; }
  bool splits() const { return backend_.splits(); }

  Block multiply(const Block& x, Products products = Products::full) {
    ++reads_;
    return products == Products::full ? backend_.multiply(view_, x)
                                      : backend_.multiply(view_, x, split_parts);
  }
  Block multiply_adjoint(const Block& y, Products products = Products::full) {
    ++reads_;
    return products == Products::full ? backend_.multiply_adjoint(view_, y)
                                      : backend_.multiply_adjoint(view_, y, split_parts);
  }
  Block gram_step(const Block& x, Block* y, Products products = Products::full) {
    ++reads_;
    return products == Products::full ? backend_.gram_step(view_, x, y)
                                      : backend_.gram_step(view_, x, y, split_parts);
  }
  Block steer(const Block& x) { return ++reads_, backend_.steer(rounded_, x); }
  Small dense() { return ++reads_, backend_.dense(view_); }
  Small gram() { return ++reads_, backend_.gram(view_, false).values; }
  Gram fast_gram() { return ++reads_, backend_.gram(view_, true); }

 private:
  static constexpr int split_parts = 2;
  B& backend_;
  MatrixView view_, rounded_;
  std::int64_t reads_ = 0;
};

}  // namespace sigmascope
