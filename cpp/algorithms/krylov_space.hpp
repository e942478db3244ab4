// SPDX-License-Identifier: BSD-3-Clause
// The randomized block Krylov space of A^T A, with one read of A per step, all blocks in memory and
// full reorthogonalisation.
//
// Sources: Golub & Underwood 1977 (block Lanczos); Musco & Musco 2015 (randomized start); Yuan, Gu
// & Li 2018 (convergence). Deviation: the projection T = V^T A^T A V is stored as a full matrix,
// and so is its coupling to the next block. A restart or an injection of random columns then
// changes nothing else.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "algorithms/orthonormalize.hpp"
#include "algorithms/rounding.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

template <Backend B>
class KrylovSpace {
 public:
  using Block = typename B::Block;

  // V is empty. The next block is orthonormal and random: gaussian = next start().
  KrylovSpace(B& device, std::int64_t n, std::int64_t block, std::uint64_t seed)
      : device_(device), n_(n), seed_(seed) {
    auto start = orthonormalize(device_, basis_, random_block(block), 0.0);
    next_ = std::move(start.q);
    next_start_ = std::move(start.r);
  }

  // One step: A^T A next = [V next] t + q beta. 4 m n b flops, one read. `image`, unless null,
  // receives A next, except with bf16 products. With rounded products the space is as
  // good, but the entries of T are slightly wrong.
  template <LinearOperator A>
  void expand(A& a, Block* image, const Rounding& rounding = {}) {
    const Products products = rounding.products;
    Block z =
        products == Products::bf16 ? a.gram_step_bf16(next_) : a.gram_step(next_, image, products);
    const std::int64_t before = columns(), width = next_.cols;
    basis_.push_back(std::move(next_));
    Projection seen = project(device_, basis_, 2, z);
    const std::vector<double> floors = rounding_floors(seen);
    auto step = orthonormalize(device_, basis_, std::move(z), floors, std::move(seen));
    extend_projection(step.coefficients, width, rounding.any());
    start_ = stacked(start_, next_start_);
    next_ = std::move(step.q);
    if (next_.cols < width) dropped_ = std::max(dropped_, largest_of(floors));
    next_start_ = Small(next_.cols, start_.cols);
    coupling_ = Small(next_.cols, columns());
    coupling_.set_part(0, before, step.r);
    last_columns_ = width;
  }

  // Widen the next block by random columns orthogonal to V and to it, for copies of a singular
  // value that the start block cannot hold.
  void inject(std::int64_t width) {
    width = std::min(width, n_ - columns() - next_.cols);
    if (width <= 0) return;
    basis_.push_back(std::move(next_));
    auto added = orthonormalize(device_, basis_, random_block(width), 0.0);
    Block& existing = basis_.back();
    Block wide = device_.zeros(n_, existing.cols + added.q.cols);
    Small left(existing.cols, wide.cols), right(added.q.cols, wide.cols);
    for (std::int64_t j = 0; j < existing.cols; ++j) left(j, j) = 1;
    for (std::int64_t j = 0; j < added.q.cols; ++j) right(j, existing.cols + j) = 1;
    combine(device_, wide, existing, left);
    combine(device_, wide, added.q, right);
    basis_.pop_back();
    next_ = std::move(wide);
    const std::int64_t added_columns = added.q.cols;
    coupling_ = stacked(coupling_, Small(added_columns, coupling_.cols));
    next_start_ = stacked(next_start_, Small(added_columns, next_start_.cols));
    pure_ = false;
  }

  // Thick restart (Wu & Simon 2000): V becomes the Ritz vectors given by the columns of `vectors`
  // (D x number of vectors). The next block is unchanged.
  void restart(const Small& vectors, const std::vector<double>& values) {
    Block restarted = combine_basis(device_, basis_, vectors);
    basis_.clear();
    basis_.push_back(std::move(restarted));
    rounded_shares_ = rounded_shares(vectors);
    t_ = Small(vectors.cols, vectors.cols);
    for (std::int64_t i = 0; i < vectors.cols; ++i) t_(i, i) = values[as_size(i)];
    coupling_ = matmul(coupling_, vectors);
    start_ = matmul_adjoint(vectors, start_);
    pure_ = false;
  }

  // Start a new space, without T, from the given combinations of V. rms: |A|_F / sqrt(n).
  void rebuild(const Small& vectors, double rms) {
    rms_ = rms;
    next_ = combine_basis(device_, basis_, vectors);
    next_start_ = matmul_adjoint(vectors, start_);
    basis_.clear();
    rounded_shares_.clear();
    t_ = coupling_ = Small(0, 0);
    start_ = Small(0, next_start_.cols);
    last_columns_ = 0;
    pure_ = false;
    rebuilt_ = true;
  }

  std::int64_t columns() const { return t_.rows; }
  // ||A V||_F^2: the part of ||A||_F^2 that the space holds.
  double captured() const {
    double trace = 0;
    for (std::int64_t i = 0; i < t_.rows; ++i) trace += t_(i, i);
    return trace;
  }
  // Shares of V's columns, and of combinations of them, that rounded products have multiplied. The
  // errors of different columns are independent of each other.
  const std::vector<RoundedShare>& rounded_shares() const { return rounded_shares_; }
  std::vector<RoundedShare> rounded_shares(const Small& vectors) const {
    std::vector<RoundedShare> of(as_size(vectors.cols));
    for (std::int64_t j = 0; j < vectors.cols; ++j)
      for (std::int64_t i = 0; i < vectors.rows; ++i)
        of[as_size(j)] += rounded_shares_[as_size(i)] * (vectors(i, j) * vectors(i, j));
    return of;
  }
  bool exhausted() const { return next_.cols == 0; }  // the space is invariant
  // Whether A^T A times the last block lies nearly in the space, except for fewer directions than
  // it has columns. All that the start can reach may then be in the space after the next step.
  bool nearly_exhausted() const {
    if (next_.cols < last_columns_) return true;
    const std::vector<double> s =
        svd(coupling_.part(0, next_.cols, columns() - last_columns_, columns())).s;
    return s.back() < std::sqrt(B::epsilon()) * s.front();
  }
  bool pure() const { return pure_; }  // V is a block Krylov space of its start alone
  bool is_rebuilt() const { return rebuilt_; }
  std::int64_t size() const { return n_; }
  std::int64_t next_columns() const { return next_.cols; }
  const std::vector<Block>& basis() const { return basis_; }
  const Block& next() const { return next_; }
  const Small& t() const { return t_; }
  // next^T A^T A V. In a pure space only the last block is coupled to the next one.
  const Small& coupling() const { return coupling_; }
  // V^T G for the random block G of the start.
  const Small& start() const { return start_; }
  std::int64_t last_columns() const { return last_columns_; }
  // Upper bound, in lambda, for the columns missing from the coupling, which were dropped as
  // rounding errors.
  double dropped() const { return dropped_; }
  // Number of random columns of the start and of all injections. The space holds no more copies of
  // a singular value than that.
  std::int64_t random_columns() const { return random_columns_; }

 private:
  static Small stacked(const Small& above, const Small& below) {
    Small both(above.rows + below.rows, below.cols);
    both.set_part(0, 0, above);
    both.set_part(above.rows, 0, below);
    return both;
  }

  // Columns of z = A^T A (last block) at or below these floors are rounding errors.
  //
  // A x has the rounding error epsilon |A|, which A^T multiplies by the norm of A outside V; A^T y
  // has the rounding error epsilon |A| |y|. The rounding error of z outside V is thus epsilon |A|
  // times the largest |A x| of the block, and a smaller vector has a residual, in sigma, of some
  // epsilon |A|. After a rebuild, z holds the small part that the wanted vectors lack. There the
  // floor is the likely rounding error, that of the column itself and of a sum over all of A.
  std::vector<double> rounding_floors(const Projection& z) {
    const std::int64_t width = z.gram.cols, last = z.coefficients.rows - width;
    std::vector<double> floors;
    double image2 = 0;  // the largest |A x|^2
    for (std::int64_t j = 0; j < width; ++j) {
      floors.push_back(std::sqrt(std::max(z.gram(j, j), 0.0)));
      image2 = std::max(image2, z.coefficients(last + j, j));
    }
    if (columns() == 0) largest_ = largest_of(floors);
    const double of_block = std::min(std::sqrt(largest_ * image2), largest_);
    for (double& floor : floors)
      floor = 16 * B::epsilon() * std::min(of_block, floor + std::sqrt(largest_) * rms_);
    return floors;
  }

  // Add the rows and columns of the last block, `width` columns, to T. `coefficients`: V^T A^T A
  // times that block.
  //
  // Entries of T between new and older columns are taken from the older step, as the coupling:
  // there the rounding error is relative to the small remaining part, while in the new coefficients
  // it would be relative to |A|^2.
  void extend_projection(const Small& coefficients, std::int64_t width, bool rounded) {
    const std::int64_t before = columns();
    Small t(before + width, before + width);
    t.set_part(0, 0, t_);
    t.set_part(before, 0, coupling_);
    t.set_part(0, before, coupling_.transposed());
    for (std::int64_t j = 0; j < width; ++j) {
      for (std::int64_t i = 0; i <= j; ++i)  // symmetric except for rounding
        t(before + i, before + j) = t(before + j, before + i) =
            (coefficients(before + i, j) + coefficients(before + j, i)) / 2;
      const double theta = t(before + j, before + j);
      largest_ = std::max(largest_, theta);
      rounded_shares_.push_back(rounded ? RoundedShare{.weight = 1, .image2 = theta}
                                        : RoundedShare{});
    }
    t_ = std::move(t);
  }

  Block random_block(std::int64_t width) {
    Block block = device_.gaussian(n_, width, seed_, random_columns_);
    random_columns_ += width;
    return block;
  }

  B& device_;
  std::int64_t n_;
  std::uint64_t seed_;
  std::int64_t random_columns_ = 0;  // columns of the random matrix used so far
  std::vector<Block> basis_;
  std::vector<RoundedShare> rounded_shares_;  // of each column of the basis
  Block next_;
  Small t_, coupling_, start_, next_start_;
  std::int64_t last_columns_ = 0;
  double largest_ = 0, dropped_ = 0;
  double rms_ = std::numeric_limits<double>::infinity();
  bool pure_ = true;
  bool rebuilt_ = false;
};

}  // namespace sigmascope
