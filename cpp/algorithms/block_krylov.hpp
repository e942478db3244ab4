// SPDX-License-Identifier: BSD-3-Clause
// The k largest singular values and vectors to a tolerance, with a stopping rule and two guards against missed copies.
//
// Reads of A: one per step and one at the end; two where what A has is drowned or lost, see rayleigh_ritz. Memory: (n D
// + m k + n k) numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "algorithms/krylov_space.hpp"
#include "algorithms/looks.hpp"
#include "algorithms/measured.hpp"
#include "algorithms/spectral_density.hpp"
#include "algorithms/steering.hpp"
#include "algorithms/stopping.hpp"
#include "algorithms/work.hpp"

namespace sigmascope {

template <Backend B, LinearOperator A>
class TopSearch {
 public:
  TopSearch(B& device, A& a, double fro2, const TopOptions& options)
      : device_(device),
        a_(a),
        fro2_(fro2),
        options_(options),
        n_(a.cols()),
        k_(options.k),
        block_(std::min(options.block, a.cols())),
        looks_(static_cast<double>(a.rows()) * static_cast<double>(a.cols()), block_),
        begun_(first_products(options, a.splits(), a.cols())),
        work_(a.rows(), a.cols(), options.bounded) {
    // T is known no better: what is finer is the same to every rule.
    options_.tolerance = std::max(options.tolerance, 4 * B::epsilon());
  }

  TopResult<B> run() {
    result_.costly = becomes_whole(std::max(4 * k_, k_ + 2 * block_));  // of so many, a search is not the cheaper
    if (result_.costly) return std::move(result_);
    begin();
    while (!step()) {
      if (space_->exhausted()) inject();
      if (must_restart()) restart();
      const std::int64_t next = space_->columns() + space_->next_columns();
      if (options_.most_columns > 0 && next > options_.most_columns) {
        result_.unread = next;
        break;
      }
      result_.costly = becomes_whole(next) || (options_.bounded && work_.spent());
      if (result_.costly) break;
    }
    if (result_.costly) estimate();
    snapshot();
    result_.columns = space_->columns();
    return std::move(result_);
  }

 private:
  // What a search that is given up knows of the values, for whoever takes its place.
  void estimate() {
    const std::vector<double>& theta = assessment_.ritz.values;
    result_.triplets.s.clear();
    for (std::int64_t i = 0; i < std::min(k_, static_cast<std::int64_t>(theta.size())); ++i)
      result_.triplets.s.push_back(std::sqrt(std::max(theta[static_cast<std::size_t>(i)], 0.0)));
  }

  void begin() {
    space_.emplace(device_, n_, block_, options_.seed);
    products_ = coarsest_ = begun_;
    next_check_ = taken_ + k_ + block_;
    rounded_from_ = never;
    looks_.afresh();
  }

  // A basis of so many columns is the whole space: no search any more.
  bool becomes_whole(std::int64_t columns) const {
    return options_.bounded && !options_.density && n_ >= Work::worth_saving && columns >= n_;
  }

  bool rough() const { return coarsest_ != Products::full; }
  Rounding rounding(Products products) const { return Rounding::of(products, fro2_, n_); }

  // Better products from here on: of two parts where their noise is below what is allowed.
  void sharpen() {
    const bool enough = a_.splits() && options_.of_residuals() &&
                        rounding(Products::split).noise < options_.tolerance * std::sqrt(assessment_.theta(0));
    begun_ = products_ = coarsest_ = begun_ == Products::rounded && enough ? Products::split : Products::full;
    result_.refined = true;
  }
  void begin_sharper() {
    sharpen();
    begin();
  }
  bool can_relax() const {
    return options_.products == Products::rounded && begun_ == Products::full && !a_.splits() && !settled_;
  }
  void relax() {  // from which of the columns on that come before the next look, if from any
    const std::int64_t blocks = (next_check_ - taken_ + block_ - 1) / block_;
    const double shrink = std::pow(looks_.shrink(), static_cast<double>(block_) / 2);  // half as fast as it was
    const std::int64_t full = full_blocks(*space_, assessment_, rounding(Products::rounded), blocks, shrink, options_);
    rounded_from_ = full < blocks ? taken_ + block_ * full : never;
  }
  // After the second step, which two blocks tell enough of sigma_1: the two steps are all that is lost.
  bool should_not_steer() const {
    return begun_ != Products::full && !a_.splits() && result_.steps == 2 &&
           out_of_reach(std::sqrt(std::max(Diagonalized(space_->t()).top(1).values.front(), 0.0)), rounding(products_),
                        options_);
  }

  // One more block; true when the answer has been read.
  bool step() {
    if (can_relax()) products_ = taken_ < rounded_from_ ? Products::full : Products::rounded;
    if (products_ == Products::rounded) coarsest_ = products_;
    taken_ += space_->next_columns();
    work_.step(space_->next_columns(), space_->columns());
    space_->expand(a_, nullptr, rounding(products_));
    ++result_.steps;
    const std::int64_t d = space_->columns();
    const bool whole = d >= n_, out_of_steps = result_.steps >= options_.max_steps && d >= k_,
               last = out_of_steps || (whole && !rough());
    if (!last && should_not_steer()) {
      begin_sharper();
      return false;
    }
    const bool early = options_.density && result_.steps < least_density_steps && !space_->exhausted();
    if (!last && !whole && (early || d < k_ || (!space_->exhausted() && taken_ < next_check_ && !must_restart())))
      return false;
    work_.look(d);
    assessment_.t.reset();  // before the next is made
    assessment_ = assess(*space_, fro2_, k_, kept() + 2 * block_, rounding(coarsest_), options_.density);
    if (begun_ != Products::full && !last && drowned(assessment_, options_)) {
      begin_sharper();
      return false;
    }
    const double off = d >= k_ ? excess<B>(assessment_, options_) : std::numeric_limits<double>::infinity();
    const bool done = off < 1;
    const bool waited = waited_;
    const Place place = whole ? Place::sure : judge(d >= k_ && (done || saturated<B>(assessment_, options_)), last);
    next_check_ = taken_ + (confirmation_.active || waited_ != waited ? 1 : looks_.until_next(taken_, d, off));
    if (!last && place == Place::open) {
      if (can_relax()) relax();
      return false;
    }
    if (last || done || !rough()) {
      read_out(place);
      if (result_.unread > 0 || result_.costly || result_.converged || last) return true;
    }
    if (rough()) refine();
    else next_check_ = taken_ + looks_.until_next(taken_, d, off);  // the measured residuals say that T was too hopeful
    return false;
  }

  // Whether the k values are in their places: by proof, or by the guards, which may ask for random columns first.
  Place judge(bool seems_done, bool last) {
    if (!seems_done) return Place::open;
    const Place place = proved_place(*space_, assessment_, fro2_, options_);
    // A start that lacks little of the space it can reach may lack what is nearest to the values wanted.
    if (place == Place::open && !last && !waited_ && !space_->exhausted() && space_->nearly_exhausted()) {
      waited_ = true;
      return place;
    }
    // Of a space almost whole, the rest costs least.
    if (place != Place::open || last || 4 * space_->columns() >= 3 * n_) return place;
    const bool still = confirmation_.active;
    if (still && !confirmation_.step<B>(assessment_, options_)) return Place::open;
    // A cluster may be larger than all that was drawn for it; what is counted in the start is found by one injection.
    const bool few = block_ < least_drawn && !result_.injected;
    if (!few && !may_lack_copies(*space_, assessment_, options_) &&
        (still || !counts_more(*space_, assessment_, options_)))
      return Place::sure;
    confirmation_.start(assessment_, k_);
    inject();
    return Place::open;
  }

  // Reads the answer off the space: from T's k vectors, or from all of the basis where rounding makes T a poor guide.
  void read_out(Place place) {
    const std::int64_t k = std::min(k_, static_cast<std::int64_t>(assessment_.rho.size()));
    widely_ = widely_ || graded<B>(assessment_, k);
    read(place, k);
    const bool poor =
        space_->columns() >= n_ ||
        blur<B>(assessment_) > options_.tolerance * std::sqrt(assessment_.theta(0) * assessment_.theta(k - 1));
    if (result_.converged || result_.unread > 0 || place == Place::open || widely_ || rough() || !poor) return;
    widely_ = true;
    read(place, k);
  }
  void read(Place place, std::int64_t k) {
    const std::int64_t columns = space_->columns();
    if (widely_ && options_.readout_columns > 0 && columns > options_.readout_columns) {
      result_.unread = columns;
      return;
    }
    work_.read_out(widely_ ? columns : k);
    result_.costly = widely_ && options_.bounded && work_.spent();
    if (result_.costly) return;
    measure(result_, device_, a_, *space_, assessment_, {fro2_, coarsest_, place, k, widely_}, options_);
  }

  // From the best of the space, with better products; afresh if that is most of all there is.
  void refine() {
    snapshot();
    settled_ = true;
    if (2 * kept() > n_) return begin_sharper();
    sharpen();
    const Small& ritz = assessment_.ritz.vectors;
    space_->begin_again(ritz.part(0, ritz.rows, 0, std::min(ritz.cols, kept())),
                        std::sqrt(fro2_ / static_cast<double>(n_)));
    next_check_ = taken_ + 1;
    looks_.afresh();
  }

  // How many Ritz vectors a new beginning keeps: those wanted, all that belong to the cluster of the last of them, and
  // half as many again. Copies that were dropped would come back unconverged, and nothing could be told from them.
  std::int64_t kept() const {
    std::int64_t cluster = k_;
    const auto found = static_cast<std::int64_t>(assessment_.rho.size());
    while (cluster < found && assessment_.theta(cluster) > 0.98 * assessment_.theta(k_ - 1)) ++cluster;
    const std::int64_t kept = std::min(cluster + k_ / 2 + block_ / 2, n_);
    return options_.max_columns > 0 ? std::min(kept, std::max(options_.max_columns - 2 * block_, k_)) : kept;
  }
  bool must_restart() const {
    const std::int64_t d = space_->columns(), next = d + space_->next_columns();
    if (d <= k_ || static_cast<std::int64_t>(assessment_.rho.size()) < k_) return false;
    // Not where T is a poor guide, nor where copies may be missing, whose first traces a restart would drop; and not
    // for ever, if many restarts were not enough.
    const bool harmless = !graded<B>(assessment_, k_) && !result_.injected &&
                          !has_full_cluster(assessment_, block_, 0.01) && restarts_ < 8;
    return (options_.max_columns > 0 && next > options_.max_columns) ||
           (options_.restart_columns > 0 && harmless &&
            next > std::max(options_.restart_columns, kept() + 4 * space_->next_columns()));
  }
  void restart() {
    snapshot();
    const Eigen& ritz = assessment_.ritz;  // there is always a check before
    space_->restart(ritz.vectors.part(0, ritz.vectors.rows, 0, std::min(ritz.vectors.cols, kept())), ritz.values);
    result_.restarted = true;
    looks_.afresh();
    ++restarts_;
  }
  void inject() {
    snapshot();
    space_->inject(std::max<std::int64_t>(block_, 16));
    result_.injected = true;
    looks_.afresh();
  }
  void snapshot() {
    if (options_.density && !result_.quadrature && space_->pure())
      result_.quadrature = quadrature(*space_, assessment_.t);
  }

  static constexpr std::int64_t least_drawn = 4;  // columns: fewer may all be nearly orthogonal to what is wanted
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

  B& device_;
  A& a_;
  double fro2_;
  TopOptions options_;
  std::int64_t n_, k_, block_;
  Looks looks_;
  Products begun_, products_, coarsest_;  // of the first step of a space, of the next, of the roughest so far
  bool widely_ = false;                   // all of the basis is read out
  bool waited_ = false;                   // a step more was taken where the space was nearly exhausted
  bool settled_ = false;                  // what was rounded was too much once
  int restarts_ = 0;
  Work work_;
  std::int64_t taken_ = 0, next_check_ = 0;  // columns multiplied so far, over all restarts
  std::int64_t rounded_from_ = never;        // of `taken_`
  std::optional<KrylovSpace<B>> space_;
  Assessment assessment_;
  Confirmation confirmation_;
  TopResult<B> result_;
};

// fro2 = ||A||_F^2. A needs at least as many rows as columns for least work; any shape is right.
template <Backend B, LinearOperator A>
TopResult<B> block_krylov(B& device, A& a, double fro2, const TopOptions& options) {
  return TopSearch<B, A>(device, a, fro2, options).run();
}

}  // namespace sigmascope
