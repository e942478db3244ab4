// SPDX-License-Identifier: BSD-3-Clause
// When the k largest values of a Krylov space are good enough, and how wrong they may be.
//
// Stopping. For a Ritz pair (theta, v): rho = |A^T A v - theta v|. Some singular value lies within rho / sigma of
// sqrt(theta); once theta is separated from eta, the top of the part that has not converged, the error is quadratic,
// rho^2 / ((theta - eta) 2 sigma). eta = max(theta_j + rho_j) over the j with rho_j > 0.003 theta_j.
//
// Places. A Ritz value is at most the singular value of its place, and that is at most any before it: of many close
// together, like those at the edge of noise, the first that converges bounds the others (value_errors.hpp).
//
// Crowds. Values closer than the search resolves, more of them than the block is wide, share its Ritz vectors: x is e
// of the largest and y of the others, the residual is d |e y| where it should be the distance d, and no Ritz value next
// to it tells of d. There the error is the residual times tan(e, x), which the Gaussian start measures: |R0^T x|^2 / b
// vectors stand behind x, of which the one that counts has its chi-square share. A block of b columns tells b close
// values apart, and b - 2 of them surely: no vector outside the space is nearer to a Ritz value, in lambda, than the
// (b - 2)-th nearest of the others (Saad 1980: a block converges with the gap to the (b + 1)-th value).
//
// Rounding. T is known to some epsilon theta_1, so that no guard compares Ritz values more finely.
//
// Rounded products (rounding.hpp) move what T tells by a share of it, and hide what is below their noise.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "algorithms/krylov_space.hpp"
#include "algorithms/rounding.hpp"
#include "algorithms/spectral_density.hpp"
#include "algorithms/value_errors.hpp"

namespace sigmascope {

struct TopOptions {
  std::int64_t k = 6;
  double tolerance = 1e-4;  // of sigma_1: residuals if vectors, unless of_values, else errors of the values
  std::int64_t block = 32;
  std::int64_t max_steps = 200;
  std::int64_t restart_columns = 0;  // restart when the basis would pass this, or what a cluster needs; 0: never
  std::int64_t max_columns = 0;      // restart when the basis would pass this, whatever it holds; 0: any
  std::int64_t most_columns = 0;     // there is no answer if the basis would pass this; 0: any
  std::int64_t readout_columns = 0;  // of a graded space all columns are read out, if there are no more; 0: any
  std::uint64_t seed = 0;
  bool vectors = true;
  bool bounded = false;                // there is no answer if the work would pass that of every value
  bool density = false;                // also the quadrature of the space, before any restart or injection
  Products products = Products::full;  // to begin with
  bool of_values = false;              // the tolerance is of the values even with vectors

  bool of_residuals() const { return vectors && !of_values; }
};

// Steps of a density, whatever the values need: with fewer the bulk under a few large values is hardly seen.
inline constexpr std::int64_t least_density_steps = 8;
// What the space says of its k largest values.
struct Assessment {
  std::optional<Diagonalized> t;  // of the projection, if it is kept
  Eigen ritz;                     // more than k of them, where the space has more
  std::vector<double> rho;        // |A^T A v - theta v|, lambda
  std::vector<double> moved;      // what rounded products add to rho, lambda; zero without
  std::vector<Crowd> crowds;      // of the first k
  Unseen unseen;
  Rounding rounding;
  double theta(std::int64_t i) const { return std::max(ritz.values[static_cast<std::size_t>(i)], 0.0); }
};

// A Ritz value counts as converged once rho is at most this share of theta.
inline constexpr double unconverged = 0.003;

// The mean square of b Gaussian numbers is less in one case of a million, if that: P(chi^2_b < q) < (q/2)^(b/2) /
// (b/2)!
inline double least_share(std::int64_t block) {
  const double half = static_cast<double>(block) / 2;
  return std::min(std::exp((std::log(1e-6) + std::lgamma(half + 1)) / half) / half, 1.0);
}

// What rounding may have done to a number of T, lambda.
template <Backend B>
double blur(const Assessment& a) {
  return 16 * B::epsilon() * a.theta(0);
}

// The values nearest to value i, fewer than `most` of them, for which what is outside disturbs least: the space has no
// other value, taken with its residual, as near as the distance. To first order the values are then those of Theta +
// C^T C / distance, for C the couplings of all of these to what is outside.
inline Crowd least_disturbed(const Assessment& a, std::int64_t i, std::int64_t most) {
  struct Other {
    double away, rho;
  };
  std::vector<Other> others;
  for (std::int64_t j = 0; j < static_cast<std::int64_t>(a.rho.size()); ++j)
    if (j != i) others.push_back({std::abs(a.theta(j) - a.theta(i)), a.rho[static_cast<std::size_t>(j)]});
  std::sort(others.begin(), others.end(), [](const Other& x, const Other& y) { return x.away < y.away; });
  std::vector<double> free(others.size() + 1, std::numeric_limits<double>::infinity());  // from the j-th on
  for (std::size_t j = others.size(); j-- > 0;) free[j] = std::min(free[j + 1], others[j].away - 1.0 * others[j].rho);
  Crowd best;
  best.distance = 0;
  const double own = std::pow(a.rho[static_cast<std::size_t>(i)], 2);
  double nearer = 0, least = std::numeric_limits<double>::infinity();
  for (std::size_t j = 0; j < free.size() && static_cast<std::int64_t>(j) < most; ++j) {
    if (const double error = (own + nearer) / free[j]; free[j] > 0 && error < least) {
      least = error;
      best.distance = free[j];
      best.nearer = std::sqrt(nearer);
    }
    if (j < others.size()) nearer += others[j].rho * others[j].rho;
  }
  return best;
}

// The chain of values that value i belongs to, first and last: each is no further from the next than ten times the
// residual of one of the two.
inline std::pair<std::int64_t, std::int64_t> chain(const Assessment& a, std::int64_t i) {
  const auto linked = [&a](std::int64_t j) {  // to j + 1
    const auto e = static_cast<std::size_t>(j);
    return a.theta(j) - a.theta(j + 1) <= 10 * std::max(a.rho[e], a.rho[e + 1]);
  };
  std::int64_t first = i, last = i;
  while (first > 0 && linked(first - 1)) --first;
  while (last + 1 < static_cast<std::int64_t>(a.rho.size()) && linked(last)) ++last;
  return {first, last};
}

// The distance in lambda from a Ritz value to the n-th nearest of the others; infinity if there are not so many.
inline double nearest(const Assessment& a, std::int64_t i, std::int64_t n) {
  const auto found = static_cast<std::int64_t>(a.rho.size());
  constexpr double none = std::numeric_limits<double>::infinity();
  double distance = none;
  for (std::int64_t above = i - 1, below = i + 1; n > 0; --n) {
    const double up = above >= 0 ? a.theta(above) - a.theta(i) : none,
                 down = below < found ? a.theta(i) - a.theta(below) : none;
    distance = std::min(up, down);
    if (distance == none) return none;
    if (up <= down) --above;
    else ++below;
  }
  return distance;
}

// In a crowd of b and more, of which the space holds b, the others spread over rho / tan, and tan^2 >= 1/b: within
// twice that, as many Ritz values as a block tells apart are a crowd. So is one Ritz vector with more of the start in
// it than one singular vector has: six deviations of chi^2_b.
template <Backend B>
std::vector<Crowd> crowds(const KrylovSpace<B>& space, const Assessment& a, std::int64_t k) {
  const std::int64_t b = space.start().cols, found = static_cast<std::int64_t>(a.rho.size());
  std::vector<Crowd> of(static_cast<std::size_t>(std::min(k, found)));
  const std::int64_t k_found = static_cast<std::int64_t>(of.size());
  if (space.columns() >= space.size()) return of;  // nothing is outside
  const Small weights = probe_weights(a.ritz.vectors.part(0, a.ritz.vectors.rows, 0, k_found), space.start());
  const auto width = static_cast<double>(b);
  const std::int64_t resolved = std::max<std::int64_t>(b - 2, 1);
  for (std::int64_t i = 0; i < k_found; ++i) {
    Crowd& crowd = of[static_cast<std::size_t>(i)];
    crowd = least_disturbed(a, i, resolved);
    double count = 0;
    for (std::int64_t j = 0; j < b; ++j) count += weights(i, j) / width;
    // Rounded products have spread the crowds of a space that was begun again.
    if (!space.begun_again()) crowd.tangent = std::sqrt(std::max(count, 1.0) / least_share(b));
    const double reach = 2 * std::sqrt(width) * std::hypot(a.rho[static_cast<std::size_t>(i)], space.lost());
    const auto [first, last] = chain(a, i);
    if (crowd.distance > 0 && last - first < resolved && nearest(a, i, resolved) > reach + blur<B>(a) &&
        count < 1 + 6 * std::sqrt(2 / width))
      continue;
    crowd.distance = 0;
    double above = 0;  // a value too many there would put all that follow one place too high
    for (std::int64_t j = first; j < i; ++j) above += std::pow(a.rho[static_cast<std::size_t>(j)], 2);
    crowd.nearer = std::sqrt(above);
  }
  return of;
}

// What of ||A||_F^2 rounding may hide in the difference to what the space holds.
template <Backend B>
double hidden_mass(const KrylovSpace<B>& space, double fro2, const Rounding& rounding) {
  double roughly = 0;
  for (std::int64_t j = 0; j < space.columns(); ++j)
    roughly += space.rough()[static_cast<std::size_t>(j)].weight * space.t()(j, j);
  return std::max(2 * rounding.share * roughly, 64 * B::epsilon() * fro2);
}

// What of ||A||_F^2 lies outside the space, at most.
template <Backend B>
double missing_mass(const KrylovSpace<B>& space, double fro2, const Rounding& rounding) {
  return std::max(fro2 - space.captured(), 0.0) + hidden_mass(space, fro2, rounding);
}

// The mean of the eigenvalues outside the space, at least: the largest of them is no smaller.
template <Backend B>
double mean_outside(const KrylovSpace<B>& space, double fro2, const Rounding& rounding) {
  const std::int64_t outside = space.size() - space.columns();
  const double mass = fro2 - space.captured() - hidden_mass(space, fro2, rounding);
  return outside > 0 ? std::max(mass, 0.0) / static_cast<double>(outside) : 0.0;
}

template <Backend B>
Assessment assess(const KrylovSpace<B>& space, double fro2, std::int64_t k, std::int64_t least,
                  const Rounding& rounding, bool keep) {
  Assessment a;
  a.rounding = rounding;
  a.t.emplace(space.t());
  a.ritz = a.t->top(std::min(space.columns(), std::max(least, k + 2 * space.last() + 8)));
  if (!keep) a.t.reset();
  a.rho = column_norms(matmul(space.coupling(), a.ritz.vectors));
  const auto found = static_cast<std::int64_t>(a.rho.size());
  const std::vector<Rough> rough = space.rough(a.ritz.vectors);
  // Of theta_j, at most, where every entry is rounded the same way; or of what is likely of it.
  const auto at_most = [&](std::int64_t j, double share) {
    return a.theta(j) * (1 + share * rough[static_cast<std::size_t>(j)].weight);
  };
  bool any = false;
  for (std::int64_t j = 0; j < found; ++j) {
    const auto& [weight, image2] = rough[static_cast<std::size_t>(j)];
    // Of a vector that such columns make up, |A x|^2 is theta, whatever theirs are.
    const double image = weight > 0.5 ? a.theta(j) : image2;
    a.moved.push_back(rounding.noise * std::sqrt(image + weight * rounding.rms * rounding.rms));
    if (const double rho = a.rho[static_cast<std::size_t>(j)]; rho > unconverged * a.theta(j)) {
      a.unseen.eta = std::max(a.unseen.eta, at_most(j, rounding.share) + rho);
      any = true;
    }
  }
  if (!any && found < space.columns() && space.columns() < space.size())
    a.unseen.eta = 0.9 * at_most(found - 1, rounding.share);  // of a cluster that goes on, no member is missed
  a.unseen.eta = std::max(a.unseen.eta, mean_outside(space, fro2, rounding));
  if (found > k) {
    a.unseen.next = a.theta(k);
    a.unseen.blur = blur<B>(a);
  }
  if (rounding.any() && found > k) {
    a.unseen.inside = at_most(k, rounding.share);
    a.unseen.above = at_most(k, rounding.likely(space.size()));
  }
  a.crowds = crowds(space, a, k);
  return a;
}

// The residual of Ritz pair i in sigma. Below sqrt(epsilon) sigma_1 the projection resolves nothing: no finer claim.
inline double ritz_residual(const Assessment& a, std::int64_t i, double epsilon) {
  const double least = std::sqrt(epsilon * a.theta(0));
  const double sigma = std::max(std::sqrt(a.theta(i)), least);
  const auto e = static_cast<std::size_t>(i);
  return sigma > 0 ? std::hypot(a.rho[e], a.moved[e]) / sigma : 0.0;
}

// What is asked of the k values: their residuals, or the errors that these leave.
template <Backend B>
std::vector<double> estimated(const Assessment& a, const TopOptions& options) {
  std::vector<double> values, off;
  for (std::int64_t i = 0; i < options.k; ++i) {
    const double residual = ritz_residual(a, i, B::epsilon());
    values.push_back(std::sqrt(a.theta(i)));
    off.push_back(options.of_residuals()
                      ? residual
                      : value_error(values.back(), residual, a.unseen, a.crowds[static_cast<std::size_t>(i)]));
  }
  if (!options.of_residuals()) bound_by_earlier(values, off);
  return off;
}

// The largest of them over the one allowed; 0 if all are.
template <Backend B>
double excess(const Assessment& a, const TopOptions& options) {
  if (static_cast<std::int64_t>(a.rho.size()) < options.k) return std::numeric_limits<double>::infinity();
  const std::vector<double> off = estimated<B>(a, options);
  const double most = *std::max_element(off.begin(), off.end());
  const double allowed = options.tolerance * std::sqrt(a.theta(0));
  return most > allowed ? most / allowed : 0.0;
}

// Below this share of theta_1 the Ritz vectors that T picks are no longer good enough: what orthonormalisation drops as
// rounding, 16 epsilon theta_1, reaches a value sigma_k read from QR(A V) as (16 epsilon theta_1)^2 / (2 sigma_k^3);
// the share keeps that under the rounding of everything else.
template <Backend B>
bool graded(const Assessment& a, std::int64_t k) {
  return a.theta(k - 1) < 2 * std::pow(B::epsilon(), 2.0 / 3.0) * a.theta(0);
}

}  // namespace sigmascope
