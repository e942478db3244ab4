// SPDX-License-Identifier: BSD-3-Clause
// The k largest singular values and vectors to a tolerance, by a randomized block Krylov method
// with a stopping rule and guards against missed copies.
//
// Method: expand the space by a block; where a check is due, assess the Ritz pairs of the
// projection; once they meet the tolerance and are in their places, read the answer from A. Between
// the steps the space is restarted, or widened by random columns, where that is needed.
//
// Sources: krylov_space.hpp.
// Reads of A: one per step and one for the answer; two for the answer where rayleigh_ritz finds
// vectors that are not good enough. Memory: n D + m k + n k numbers, for a basis of D columns.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "algorithms/check_schedule.hpp"
#include "algorithms/krylov_space.hpp"
#include "algorithms/multiplicity_guard.hpp"
#include "algorithms/precision_schedule.hpp"
#include "algorithms/read_out.hpp"
#include "algorithms/restart.hpp"
#include "algorithms/spectral_density.hpp"
#include "algorithms/work.hpp"

namespace sigmascope {

template <Backend B, LinearOperator A>
class BlockKrylovSolver {
 public:
  BlockKrylovSolver(B& device, A& a, double fro2, const KrylovOptions& options)
      : device_(device),
        a_(a),
        fro2_(fro2),
        options_(attainable(options, a.cols())),
        n_(a.cols()),
        k_(options_.k),
        block_(options_.block),
        schedule_(CheckSchedule::of(device, a, block_)),
        precision_(options_, a.has_bf16x2(), fro2, n_),
        work_(a.rows(), a.cols(), B::columns_together, options_.bounded) {}

  KrylovResult<B> run() {
    const std::int64_t least_columns = std::max(4 * k_, k_ + 2 * block_);
    result_.costly = is_whole_space(least_columns);
    if (result_.costly) return std::move(result_);
    start_space();
    while (!step() && prepare_next_step()) {
    }
    if (result_.costly) result_.triplets.s = estimated_values(assessment_, k_);
    save_density();
    result_.refined = precision_.sharpened();
    result_.columns = space_->columns();
    return std::move(result_);
  }

 private:
  // Options with a block that fits, and a tolerance that T resolves: rules treat smaller
  // differences as equal.
  static KrylovOptions attainable(KrylovOptions options, std::int64_t n) {
    options.block = std::min(options.block, n);
    options.tolerance = std::max(options.tolerance, 4 * B::epsilon());
    return options;
  }

  void start_space() {
    space_.emplace(device_, n_, block_, options_.seed);
    precision_.start_space();
    schedule_.reset();
    schedule_.check_after(columns_multiplied_, k_ + block_);
  }

  // One step of the method; true when the answer has been read.
  bool step() {
    expand();
    const bool last = is_last_step();
    if (!last && precision_.should_not_steer(*space_, result_.steps)) {
      start_sharper();
      return false;
    }
    if (!last && !check_is_due()) return false;
    assess_space();
    if (!last && precision_.is_below_noise(assessment_)) {
      start_sharper();
      return false;
    }
    const double excess = excess_of<B>(assessment_, options_);
    const Placement placement = place(excess, last);
    if (!last && placement == Placement::open) {
      precision_.relax(*space_, assessment_, columns_multiplied_, schedule_.next_check_column(),
                       schedule_.convergence_rate());
      return false;
    }
    if (last || excess < 1 || !precision_.any_rounded()) {
      read_out(placement);
      if (last || has_ended()) return true;
    }
    if (precision_.any_rounded()) refine();
    else schedule_.plan_check(columns_multiplied_, space_->columns(), excess);
    return false;
  }

  // Make the next step possible; false if it would pass a limit, which ends the search.
  bool prepare_next_step() {
    if (space_->exhausted()) inject();
    if (must_restart()) restart();
    const std::int64_t next = space_->columns() + space_->next_columns();
    if (options_.refusal_columns > 0 && next > options_.refusal_columns) {
      result_.required_columns = next;
      return false;
    }
    result_.costly = is_whole_space(next) || (options_.bounded && work_.spent());
    return !result_.costly;
  }

  void expand() {
    const Rounding rounding = precision_.next_step(columns_multiplied_);
    columns_multiplied_ += space_->next_columns();
    work_.step(space_->next_columns(), space_->columns());
    space_->expand(a_, nullptr, rounding);
    ++result_.steps;
  }

  bool is_last_step() const {
    const bool out_of_steps = result_.steps >= options_.max_steps && space_->columns() >= k_;
    return out_of_steps || (is_complete() && !precision_.any_rounded());
  }

  bool check_is_due() const {
    if (is_complete()) return true;
    if (space_->columns() < k_) return false;
    if (space_->exhausted()) return true;
    if (options_.density && result_.steps < least_density_steps) return false;
    if (options_.bounded && work_.spent()) return true;  // a last look before it is given up
    return schedule_.is_due(columns_multiplied_) || must_restart();
  }

  void assess_space() {
    work_.check(space_->columns());
    assessment_.t.reset();  // its memory is needed for the next one
    assessment_ = assess(*space_, fro2_, k_, restart_size(assessment_, options_, n_) + 2 * block_,
                         precision_.lowest_rounding(), options_.density, options_.product_errors);
  }

  // Decide whether the k values are in their places, and when to check next.
  Placement place(double excess, bool last) {
    const bool was_extended = extended_;
    const Placement placement =
        is_complete() ? Placement::sure : judged_placement(excess < 1, last);
    if (guard_.active() || extended_ != was_extended) schedule_.check_after(columns_multiplied_, 1);
    else schedule_.plan_check(columns_multiplied_, space_->columns(), excess);
    return placement;
  }

  // By proof, or by the guard, which may inject random columns first, unless ||A||_F contradicts.
  Placement judged_placement(bool meets_tolerance, bool last) {
    if (!meets_tolerance && !is_saturated<B>(assessment_, options_)) return Placement::open;
    const Placement proved = proved_placement(*space_, assessment_, fro2_, options_);
    if (proved == Placement::open && !last && must_extend()) {
      extended_ = true;
      return Placement::open;
    }
    // If the space is almost complete, the rest costs less than a confirmation.
    const bool almost_complete = 4 * space_->columns() >= 3 * n_;
    if (proved != Placement::open || last || almost_complete) return proved;
    const auto verdict = misses_a_value(*space_, assessment_, fro2_, options_)
                             ? MultiplicityGuard::Verdict::inject
                             : guard_.examine(*space_, assessment_, options_, result_.injected);
    if (verdict == MultiplicityGuard::Verdict::inject) inject();
    return verdict == MultiplicityGuard::Verdict::sure ? Placement::sure : Placement::open;
  }

  // Whether to take one more step: a start that is nearly orthogonal to a part of the space that it
  // can reach may lack the vectors nearest to the ones wanted.
  bool must_extend() const {
    return !extended_ && !space_->exhausted() && space_->nearly_exhausted();
  }

  // Read the answer from the k Ritz vectors of T, or from the whole basis where rounding makes T a
  // poor guide.
  void read_out(Placement placement) {
    const std::int64_t k = std::min(k_, assessment_.count());
    reads_whole_basis_ = reads_whole_basis_ || is_graded<B>(assessment_, k);
    read(placement, k);
    if (has_ended() || placement == Placement::open || reads_whole_basis_) return;
    if (precision_.any_rounded()) return;
    if (!is_complete() && !is_projection_poor<B>(assessment_, k, options_.tolerance)) return;
    reads_whole_basis_ = true;
    read(placement, k);
  }

  void read(Placement placement, std::int64_t k) {
    const std::int64_t columns = space_->columns();
    if (reads_whole_basis_ && options_.full_readout_columns > 0 &&
        columns > options_.full_readout_columns) {
      result_.required_columns = columns;
      return;
    }
    work_.read_out(reads_whole_basis_ ? columns : k);
    result_.costly = reads_whole_basis_ && options_.bounded && work_.spent();
    if (result_.costly) return;
    ReadOut<B, A>(device_, a_, *space_, assessment_, options_,
                  {.fro2 = fro2_,
                   .lowest_precision = precision_.lowest_precision(),
                   .placement = placement,
                   .k = k,
                   .whole_basis = reads_whole_basis_})
        .into(result_);
  }

  bool has_ended() const {
    return result_.converged || result_.costly || result_.required_columns > 0;
  }

  // A new space of random columns, with better products.
  void start_sharper() {
    precision_.sharpen(assessment_);
    start_space();
  }

  // Go on from the best vectors with better products; with a new space where those vectors would
  // be most of it.
  void refine() {
    save_density();
    precision_.refine(assessment_);
    if (2 * restart_size(assessment_, options_, n_) > n_) {
      start_space();
      return;
    }
    space_->rebuild(restart_vectors(assessment_, options_, n_),
                    std::sqrt(fro2_ / static_cast<double>(n_)));
    schedule_.reset();
    schedule_.check_after(columns_multiplied_, 1);
  }

  void restart() {
    save_density();
    space_->restart(restart_vectors(assessment_, options_, n_),
                    assessment_.values);  // of the last check
    schedule_.reset();
    result_.restarted = true;
    ++restarts_;
  }

  void inject() {
    save_density();
    space_->inject(std::max(block_, least_injected_columns));
    schedule_.reset();
    result_.injected = true;
  }

  bool must_restart() const {
    return sigmascope::must_restart(*space_, assessment_, options_, result_.injected, restarts_);
  }

  // The quadrature of the space, before it is changed by other than steps.
  void save_density() {
    if (options_.density && !result_.quadrature && space_->pure() && space_->columns() > 0)
      result_.quadrature = quadrature(*space_, assessment_.t);
  }

  // A basis of all n columns.
  bool is_complete() const { return space_->columns() >= n_; }

  // Whether a search whose basis has so many columns is no cheaper than a full decomposition.
  bool is_whole_space(std::int64_t columns) const {
    return options_.bounded && !options_.density && n_ >= Work::worth_saving && columns >= n_;
  }

  static constexpr std::int64_t least_injected_columns = 16;

  B& device_;
  A& a_;
  double fro2_;
  KrylovOptions options_;
  std::int64_t n_, k_, block_;
  CheckSchedule schedule_;
  PrecisionSchedule precision_;
  MultiplicityGuard guard_;
  Work work_;
  std::optional<KrylovSpace<B>> space_;
  Assessment assessment_;                // at the last check
  std::int64_t columns_multiplied_ = 0;  // over all restarts and spaces
  bool reads_whole_basis_ = false;
  bool extended_ = false;  // one more step was taken because the space was nearly exhausted
  int restarts_ = 0;
  KrylovResult<B> result_;
};

// fro2 = ||A||_F^2. A needs at least as many rows as columns for the least work; any shape works.
template <Backend B, LinearOperator A>
KrylovResult<B> block_krylov(B& device, A& a, double fro2, const KrylovOptions& options) {
  return BlockKrylovSolver<B, A>(device, a, fro2, options).run();
}

}  // namespace sigmascope
