// SPDX-License-Identifier: BSD-3-Clause
// Ritz pairs of a Krylov space, and clusters among them.
//
// If more singular values than the block is wide lie closer together than the search resolves, they
// share Ritz vectors. A Ritz vector x with weight e on v_1 and y on the others, at distance d, has
// the residual d |e y|, which says too little about d. The error of its value is the residual times
// tan(angle(v_1, x)). The angle is estimated from the Gaussian start block R0 of b columns:
// |R0^T x|^2 / b singular vectors are behind x, and the share of v_1 follows from its chi-square
// distribution.
//
// A block of b columns separates b close values, and b - 2 of them reliably: no eigenvalue outside
// the space is nearer to a Ritz value than the (b - 2)-th nearest of the other Ritz values (Saad
// 1980: a block converges with the gap to the (b + 1)-th value).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "algorithms/krylov_space.hpp"
#include "algorithms/spectral_density.hpp"
#include "algorithms/value_errors.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// The largest Ritz pairs of A^T A from a space, without their vectors.
struct RitzPairs {
  std::vector<double> values;  // theta, descending
  Small weights;               // of the vectors for each column of the start block: probe_weights
  std::vector<double> rho;     // |A^T A v - theta v|, lambda
  ProductErrors product_errors;

  std::int64_t count() const { return static_cast<std::int64_t>(rho.size()); }
  double theta(std::int64_t i) const { return std::max(values[as_size(i)], 0.0); }
  double residual(std::int64_t i) const { return rho[as_size(i)]; }
};

// Error of T's entries, lambda: by rounding, and by both products of A^T A. No rule compares Ritz
// values more finely.
template <Backend B>
double projection_rounding(const RitzPairs& pairs) {
  const double sigma = std::sqrt(pairs.theta(0));
  return 16 * B::epsilon() * pairs.theta(0) + 2 * pairs.product_errors.at(sigma) * sigma;
}

// The nearest neighbours of value i, fewer than `most`, for which the part of A outside the space
// matters least. `distance` is a gap: no other Ritz value, less its residual, is as near to value i
// as that. To first order the values are those of Theta + C^T C / distance, where C couples value i
// and these neighbours to what is outside.
inline Cluster least_disturbed(const RitzPairs& pairs, std::int64_t i, std::int64_t most) {
  struct Other {
    double away, rho;
  };
  std::vector<Other> others;
  for (std::int64_t j = 0; j < pairs.count(); ++j)
    if (j != i) others.push_back({std::abs(pairs.theta(j) - pairs.theta(i)), pairs.residual(j)});
  std::sort(others.begin(), others.end(),
            [](const Other& x, const Other& y) { return x.away < y.away; });
  // gap[j]: with the j nearest values as neighbours.
  std::vector<double> gap(others.size() + 1, std::numeric_limits<double>::infinity());
  for (std::size_t j = others.size(); j-- > 0;)
    gap[j] = std::min(gap[j + 1], others[j].away - others[j].rho);
  Cluster best;
  best.distance = 0;
  const double own = std::pow(pairs.residual(i), 2);
  double nearer = 0, least = std::numeric_limits<double>::infinity();
  for (std::size_t j = 0; j < gap.size() && static_cast<std::int64_t>(j) < most; ++j) {
    const double error = (own + nearer) / gap[j];
    if (gap[j] > 0 && error < least) {
      least = error;
      best.distance = gap[j];
      best.nearer = std::sqrt(nearer);
    }
    if (j < others.size()) nearer += others[j].rho * others[j].rho;
  }
  return best;
}

// First and last value of the chain that value i belongs to. Neighbours in a chain are no further
// apart than ten times the residual of one of the two.
inline std::pair<std::int64_t, std::int64_t> chain(const RitzPairs& pairs, std::int64_t i) {
  constexpr double reach = 10;
  const auto linked = [&pairs](std::int64_t j) {  // j and j + 1
    return pairs.theta(j) - pairs.theta(j + 1) <=
           reach * std::max(pairs.residual(j), pairs.residual(j + 1));
  };
  std::int64_t first = i, last = i;
  while (first > 0 && linked(first - 1)) --first;
  while (last + 1 < pairs.count() && linked(last)) ++last;
  return {first, last};
}

// Distance in lambda from a Ritz value to the n-th nearest of the others; infinity if there are
// fewer.
inline double nearest(const RitzPairs& pairs, std::int64_t i, std::int64_t n) {
  constexpr double none = std::numeric_limits<double>::infinity();
  double distance = none;
  for (std::int64_t above = i - 1, below = i + 1; n > 0; --n) {
    const double up = above >= 0 ? pairs.theta(above) - pairs.theta(i) : none;
    const double down = below < pairs.count() ? pairs.theta(i) - pairs.theta(below) : none;
    distance = std::min(up, down);
    if (distance == none) return none;
    if (up <= down) --above;
    else ++below;
  }
  return distance;
}

// The neighbourhoods of the k largest Ritz values.
//
// Value i belongs to a cluster in one of two cases. Either as many Ritz values as a block separates
// lie within twice rho / tan, since in a cluster of b and more values, of which the space holds b,
// the others spread over rho / tan with tan^2 >= 1 / b. Or its Ritz vector has more of the start
// block in it than one singular vector has, by six standard deviations of chi^2_b.
template <Backend B>
std::vector<Cluster> clusters_of(const KrylovSpace<B>& space, const RitzPairs& pairs,
                                 std::int64_t k) {
  const std::int64_t b = space.start().cols, count = std::min(k, pairs.count());
  std::vector<Cluster> clusters(as_size(count));
  if (space.columns() >= space.size()) return clusters;  // nothing is outside
  const auto width = static_cast<double>(b);
  const std::int64_t separated = std::max<std::int64_t>(b - 2, 1);
  for (std::int64_t i = 0; i < count; ++i) {
    Cluster& cluster = clusters[as_size(i)];
    cluster = least_disturbed(pairs, i, separated);
    double behind = 0;  // number of singular vectors behind this Ritz vector
    for (std::int64_t j = 0; j < b; ++j) behind += pairs.weights(i, j) / width;
    // Rounded products have spread the clusters of a rebuilt space.
    if (!space.is_rebuilt())
      cluster.tangent = std::sqrt(std::max(behind, 1.0) / least_mean_square(b));
    const double spread = 2 * std::sqrt(width) * std::hypot(pairs.residual(i), space.dropped());
    const auto [first, last] = chain(pairs, i);
    if (cluster.distance > 0 && last - first < separated &&
        nearest(pairs, i, separated) > spread + projection_rounding<B>(pairs) &&
        behind < 1 + 6 * std::sqrt(2 / width))
      continue;
    cluster.distance = 0;
    double above = 0;  // a spurious value there would shift all that follow by one place
    for (std::int64_t j = first; j < i; ++j) above += std::pow(pairs.residual(j), 2);
    cluster.nearer = std::sqrt(above);
  }
  return clusters;
}

}  // namespace sigmascope
