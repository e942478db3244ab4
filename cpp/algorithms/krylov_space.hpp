// SPDX-License-Identifier: BSD-3-Clause
// The randomized block Krylov space of A^T A: one read of A per step, all blocks kept, full
// reorthogonalisation. Golub & Underwood 1977 (block Lanczos); Musco & Musco 2015 (randomized
// start); Yuan, Gu & Li 2018 (convergence). Deviation: the projection T is kept as the full matrix
// V^T A^T A V, and so is its coupling to the next block, so that a restart or a block of fresh
// random columns changes nothing else.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "algorithms/orthonormalize.hpp"
#include "algorithms/rounding.hpp"

namespace sigmascope {

template <Backend B>
class KrylovSpace {
 public:
  using Block = typename B::Block;

  // V is empty, the next block is orthonormal and random: gaussian = next start().
  KrylovSpace(B& device, std::int64_t n, std::int64_t block, std::uint64_t seed)
      : device_(device), n_(n), seed_(seed) {
    auto start = orthonormalize(device_, basis_, fresh(block), 0.0);
    next_ = std::move(start.q);
    next_start_ = std::move(start.r);
  }

  // One step: A^T A next = [V next] t + q beta. `image`, unless null, receives A next. 4 m n b
  // flops, one read. With rounded products, of which there is no image, the space is as good, what
  // is read off T a little wrong.
  template <LinearOperator A>
  void expand(A& a, Block* image, const Rounding& rounding = {}) {
    const Products products = rounding.products;
    Block z = products == Products::bf16 ? a.steer(next_) : a.gram_step(next_, image, products);
    const std::int64_t before = columns(), width = next_.cols;
    basis_.push_back(std::move(next_));
    // A x is rounded by epsilon |A|, which A^T multiplies with what A is outside V, and A^T y by
    // epsilon |A| |y|: what rounding leaves in z, outside V, is epsilon |A| times the largest |A x|
    // of the block. What is no larger holds no direction of A: a vector of it has a residual, in
    // sigma, of some epsilon |A|. Where the wanted vectors are begun with, z holds what they lack,
    // and that is small: there the rounding that is likely counts, of the column itself and of a
    // sum over all of A.
    std::vector<double> floors = column_norms(device_, z);
    if (before == 0) largest_ = largest_of(floors);
    const Small quotients = inner(device_, basis_.back(), z);
    double image2 = 0;  // the largest |A x|^2
    for (std::int64_t j = 0; j < width; ++j) image2 = std::max(image2, quotients(j, j));
    const double seen = std::min(std::sqrt(largest_ * image2), largest_);
    for (double& floor : floors)
      floor = 16 * B::epsilon() * std::min(seen, floor + std::sqrt(largest_) * rms_);
    auto step = orthonormalize(device_, basis_, std::move(z), floors);
    // The new columns of T against the older ones are known from when those were expanded. The
    // coefficients just found say the same, with errors of the products times |A|^2 instead of
    // times what the columns have left of it.
    Small t(before + width, before + width);
    t.set_part(0, 0, t_);
    t.set_part(before, 0, coupling_);
    t.set_part(0, before, coupling_.transposed());
    for (std::int64_t j = 0; j < width; ++j) {
      for (std::int64_t i = 0; i <= j; ++i)  // symmetric but for rounding
        t(before + i, before + j) = t(before + j, before + i) =
            (step.coefficients(before + i, j) + step.coefficients(before + j, i)) / 2;
      largest_ = std::max(largest_, t(before + j, before + j));
      rounded_shares_.push_back(rounding.any()
                                    ? RoundedShare{.weight = 1, .image2 = t(before + j, before + j)}
                                    : RoundedShare{});
    }
    t_ = std::move(t);
    start_ = stacked(start_, next_start_);
    next_ = std::move(step.q);
    if (next_.cols < width) lost_ = std::max(lost_, largest_of(floors));
    next_start_ = Small(next_.cols, start_.cols);
    coupling_ = Small(next_.cols, columns());
    coupling_.set_part(0, before, step.r);
    last_ = width;
  }

  // Widens the next block by random columns orthogonal to everything: for copies that the start
  // block cannot hold.
  void inject(std::int64_t width) {
    width = std::min(width, n_ - columns() - next_.cols);
    if (width <= 0) return;
    basis_.push_back(std::move(next_));
    auto added = orthonormalize(device_, basis_, fresh(width), 0.0);
    Block& held = basis_.back();
    Block wide = device_.zeros(n_, held.cols + added.q.cols);
    Small left(held.cols, wide.cols), right(added.q.cols, wide.cols);
    for (std::int64_t j = 0; j < held.cols; ++j) left(j, j) = 1;
    for (std::int64_t j = 0; j < added.q.cols; ++j) right(j, held.cols + j) = 1;
    combine(device_, wide, held, left);
    combine(device_, wide, added.q, right);
    basis_.pop_back();
    next_ = std::move(wide);
    const std::int64_t added_columns = added.q.cols;
    coupling_ = stacked(coupling_, Small(added_columns, coupling_.cols));
    next_start_ = stacked(next_start_, Small(added_columns, next_start_.cols));
    pure_ = false;
  }

  // Thick restart (Wu & Simon 2000): V becomes the Ritz vectors given by the columns of `vectors`
  // (D x keep). The next block is unchanged.
  void restart(const Small& vectors, const std::vector<double>& values) {
    Block kept = combine_basis(device_, basis_, vectors);
    basis_.clear();
    basis_.push_back(std::move(kept));
    rounded_shares_ = rounded_shares(vectors);
    t_ = Small(vectors.cols, vectors.cols);
    for (std::int64_t i = 0; i < vectors.cols; ++i) t_(i, i) = values[static_cast<std::size_t>(i)];
    coupling_ = matmul(coupling_, vectors);
    start_ = matmul_adjoint(vectors, start_);
    pure_ = false;
  }

  // Begins again with the given combinations of V as the next block: nothing of T is kept. rms:
  // |A|_F / sqrt(n).
  void begin_again(const Small& vectors, double rms) {
    rms_ = rms;
    next_ = combine_basis(device_, basis_, vectors);
    next_start_ = matmul_adjoint(vectors, start_);
    basis_.clear();
    rounded_shares_.clear();
    t_ = coupling_ = Small(0, 0);
    start_ = Small(0, next_start_.cols);
    last_ = 0;
    pure_ = false;
    begun_again_ = true;
  }

  std::int64_t columns() const { return t_.rows; }
  // ||A V||_F^2: what of ||A||_F^2 the space holds.
  double captured() const {
    double trace = 0;
    for (std::int64_t i = 0; i < t_.rows; ++i) trace += t_(i, i);
    return trace;
  }
  // How much of V's columns, and of combinations of them, rounded products have multiplied: the
  // errors of different columns are independent of each other.
  const std::vector<RoundedShare>& rounded_shares() const { return rounded_shares_; }
  std::vector<RoundedShare> rounded_shares(const Small& vectors) const {
    std::vector<RoundedShare> of(static_cast<std::size_t>(vectors.cols));
    for (std::int64_t j = 0; j < vectors.cols; ++j)
      for (std::int64_t i = 0; i < vectors.rows; ++i)
        of[static_cast<std::size_t>(j)] +=
            rounded_shares_[static_cast<std::size_t>(i)] * (vectors(i, j) * vectors(i, j));
    return of;
  }
  bool exhausted() const { return next_.cols == 0; }  // the space is invariant
  // What A^T A makes of the last block lies in the space nearly, but for fewer directions than it
  // has columns: all that the start can reach may be in the space after the next.
  bool nearly_exhausted() const {
    if (next_.cols < last_) return true;
    const std::vector<double> s =
        svd(coupling_.part(0, next_.cols, columns() - last_, columns())).s;
    return s.back() < std::sqrt(B::epsilon()) * s.front();
  }
  bool pure() const { return pure_; }  // V is a block Krylov space of its start alone
  bool begun_again() const { return begun_again_; }
  std::int64_t size() const { return n_; }
  std::int64_t next_columns() const { return next_.cols; }
  const std::vector<Block>& basis() const { return basis_; }
  const Block& next() const { return next_; }
  const Small& t() const { return t_; }
  // next^T A^T A V: how the space goes on. In a pure space only the last block couples.
  const Small& coupling() const { return coupling_; }
  // V^T G for the random block G that the space began with.
  const Small& start() const { return start_; }
  std::int64_t last() const { return last_; }
  // What the coupling lacks at most, lambda: columns were dropped that were no larger than their
  // rounding.
  double lost() const { return lost_; }
  // Random columns that the space has begun with or was given: it holds no more copies of a value.
  std::int64_t drawn() const { return drawn_; }

 private:
  static Small stacked(const Small& above, const Small& below) {
    Small whole(above.rows + below.rows, below.cols);
    whole.set_part(0, 0, above);
    whole.set_part(above.rows, 0, below);
    return whole;
  }

  Block fresh(std::int64_t width) {
    Block block = device_.gaussian(n_, width, seed_, drawn_);
    drawn_ += width;
    return block;
  }

  B& device_;
  std::int64_t n_;
  std::uint64_t seed_;
  std::int64_t drawn_ = 0;  // columns of the random matrix used so far
  std::vector<Block> basis_;
  std::vector<RoundedShare> rounded_shares_;  // each of its columns
  Block next_;
  Small t_, coupling_, start_, next_start_;
  std::int64_t last_ = 0;
  double largest_ = 0, lost_ = 0;
  double rms_ = std::numeric_limits<double>::infinity();
  bool pure_ = true;
  bool begun_again_ = false;
};

}  // namespace sigmascope
