// SPDX-License-Identifier: BSD-3-Clause
// The answer of a search and its errors. Both come from new products of A with the vectors found,
// which owe nothing to the recurrence of the search.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "algorithms/placement.hpp"
#include "algorithms/rayleigh_ritz.hpp"
#include "algorithms/spectral_density.hpp"

namespace sigmascope {

template <Backend B>
struct KrylovResult {
  Triplets<B> triplets;
  std::vector<double> residuals;  // with the rounding error of the products that they come from
  std::vector<double> errors;     // bounds on |s_i - sigma_i|, see value_errors
  bool converged = false;
  bool consistent = true;  // U and V are orthonormal to rounding, and sum s_i^2 <= ||A||_F^2
  bool costly = false;     // given up at the limit of Work: `triplets.s` holds estimates, no answer
  bool injected = false, restarted = false, refined = false;
  std::int64_t columns = 0, steps = 0;
  std::int64_t required_columns = 0;  // columns of a basis, or of its read-out, beyond the limits
                                      // in KrylovOptions: there is no answer; 0: within them
  std::optional<Quadrature> quadrature;
};

// How the answer is read from a space.
struct ReadOutOptions {
  double fro2;
  Products lowest_precision;  // of the steps so far
  Placement placement;
  std::int64_t k;
  bool whole_basis;  // combine all columns, not the k Ritz vectors of T
};

template <Backend B, LinearOperator A>
class ReadOut {
 public:
  ReadOut(B& device, A& a, const KrylovSpace<B>& space, const Assessment& assessment,
          const KrylovOptions& options, const ReadOutOptions& how)
      : device_(device),
        a_(a),
        space_(space),
        assessment_(assessment),
        options_(options),
        how_(how),
        rounding_(products()) {}

  // Values, vectors, residuals and errors. They have converged if the measured quantities meet the
  // tolerance and the values are in their places.
  void into(KrylovResult<B>& result) {
    const Triplets<B>& triplets = result.triplets = measured_triplets();
    result.residuals = triplets.residuals;
    for (std::size_t i = 0; i < result.residuals.size(); ++i)
      result.residuals[i] += product_error(triplets.s[i]);
    const double least = rounding_floor<B>(triplets.s);
    const double floor = least + product_error(triplets.s.front()) + triplets.factoring;
    std::vector<double> residuals = result.residuals;  // errors count rounding by the floor
    const double of_products = options_.product_errors.at(triplets.s.front());
    for (double& residual : residuals) residual += of_products - triplets.measuring;
    const UnconvergedBounds bounds = measured_bounds(triplets.s, residuals, floor);
    const double missing =
        missing_mass(space_, how_.fro2, Rounding::of(how_.lowest_precision, how_.fro2, a_.cols()));
    const auto errors = [&](bool sure) {
      auto with_shortfalls =
          value_errors(triplets.s, residuals, sure, bounds, assessment_.clusters, missing, floor);
      for (std::size_t i = 0; i < with_shortfalls.size(); ++i)
        with_shortfalls[i] =
            std::max(with_shortfalls[i], shortfall(i, triplets.s[i], missing, floor));
      return with_shortfalls;
    };
    result.errors = errors(how_.placement == Placement::sure);
    const double largest = triplets.s.front();
    result.consistent = is_consistent(triplets);
    // A bound above sigma_1 says nothing, however small the residuals are.
    const bool useful =
        *std::max_element(result.errors.begin(), result.errors.end()) <= largest + floor;
    result.converged = result.consistent && useful && how_.placement != Placement::open &&
                       meets_tolerance(result, least);
    if (!result.converged) result.errors = errors(false);
  }

 private:
  // Whether what the tolerance bounds is within it, of every value. `least`: the floor of rounding,
  // which errors count in full; residuals count what it adds where they are measured.
  bool meets_tolerance(const KrylovResult<B>& result, double least) const {
    const double largest = result.triplets.s.front(), requested = options_.tolerance * largest;
    const auto allowed = [&](double rounding) {
      return requested < least ? 2 * least : requested + rounding;
    };
    const double residual = allowed(result.triplets.measuring + 2 * B::epsilon() * largest);
    const double error = allowed(least);
    for (std::size_t i = 0; i < result.errors.size(); ++i) {
      const bool by_residual = result.residuals[i] <= residual;
      const bool by_error = result.errors[i] <= error;
      const bool near = result.errors[i] <= widest_error * error;
      const bool meets = options_.kind == Tolerance::of_either ? by_error || (by_residual && near)
                         : options_.of_residuals()             ? by_residual
                                                               : by_error;
      if (!meets) return false;
    }
    return true;
  }

  // bf16x2 where the error of such products is far below the tolerance, and leaves what the space
  // estimates within it, else full.
  Rounding products() const {
    const Rounding split = Rounding::of(Products::bf16x2, how_.fro2, a_.cols());
    const double largest = std::sqrt(assessment_.theta(0));
    const double allowed = options_.tolerance * largest / 16;
    const bool suffices = a_.has_bf16x2() && options_.products != Products::full &&
                          !how_.whole_basis &&
                          std::max(4 * split.noise, split.share * largest) <= allowed &&
                          leaves_tolerance(4 * split.noise + split.share * largest);
    return suffices ? split : Rounding::of(Products::full, how_.fro2, a_.cols());
  }

  // Whether each of the k values meets the tolerance with so much added to its estimate.
  bool leaves_tolerance(double added) const {
    if (assessment_.count() < options_.k) return true;
    const std::vector<double> defects = estimated_defects<B>(assessment_, options_);
    return *std::max_element(defects.begin(), defects.end()) + added <=
           options_.tolerance * std::sqrt(assessment_.theta(0));
  }

  // Error of a value sigma, and of its residual, that the products of the read-out cause.
  double product_error(double sigma) const { return 4 * rounding_.noise + rounding_.share * sigma; }

  Triplets<B> measured_triplets() {
    const std::int64_t d = space_.columns();
    const Small chosen = how_.whole_basis ? Small::identity(d) : assessment_.vectors.first(how_.k);
    return rayleigh_ritz(device_, a_, combine_basis(device_, space_.basis(), chosen),
                         how_.whole_basis ? Columns::any : Columns::ritz, how_.k, options_.seed + 1,
                         rounding_.products);
  }

  // The bounds of the assessment, raised by what was measured. The whole basis is read where T is a
  // poor guide: there a product of A with the next block tells what lies outside.
  UnconvergedBounds measured_bounds(const std::vector<double>& values,
                                    const std::vector<double>& residuals, double floor) {
    UnconvergedBounds bounds = assessment_.unconverged;
    double& eta = bounds.above_subspace;
    if (how_.whole_basis) bounds.ritz_rounding = 0;
    if (how_.whole_basis && space_.next_columns() > 0) {
      const auto image = a_.multiply(space_.next());
      eta = std::max(eta, eigh(inner(device_, image, image)).values.front());
    }
    for (std::size_t i = 0; i < values.size(); ++i)
      if (const double s = values[i], r = residuals[i]; r > unconverged_share * s + floor)
        eta = std::max(eta, (s + r) * (s + r));
    return bounds;
  }

  // Bound on the error of value i where the vectors read do not reach its Ritz value, beyond the
  // rounding of T and the floor of the value. No bound of value_errors holds there: they take the
  // vectors for those of T.
  double shortfall(std::size_t i, double value, double missing, double floor) const {
    if (how_.whole_basis) return 0;
    const double theta = assessment_.theta(static_cast<std::int64_t>(i));
    const double rounding =
        projection_rounding<B>(assessment_) + 2 * assessment_.rounding.share * theta;
    if (theta - rounding <= (value + floor) * (value + floor)) return 0;
    return std::sqrt(theta + rounding + missing) - value + floor;
  }

  bool is_consistent(const Triplets<B>& triplets) const {
    double squares = 0;
    for (const double s : triplets.s) squares += s * s;
    return triplets.deviation <= orthonormal_to<B>() &&
           squares <= how_.fro2 * (1 + 1024 * B::epsilon() + rounding_.share);
  }

  B& device_;
  A& a_;
  const KrylovSpace<B>& space_;
  const Assessment& assessment_;
  const KrylovOptions& options_;
  ReadOutOptions how_;
  Rounding rounding_;  // of the products of the read-out
};

}  // namespace sigmascope
