// SPDX-License-Identifier: BSD-3-Clause
// Upper bounds on singular values that a Krylov space has not resolved, from its Gaussian start G.
//
// Let V_i be the first i right singular vectors of A, and p a polynomial that grows above c. The
// rows of p(A^T A) G in V_i are p(lambda) V_i^T G, so that
//   p(lambda_i) sigma_min(V_i^T G) <= sigma_i(p(A^T A) G)   if lambda_i > c.
// V_i^T G is an i x b Gaussian matrix, whatever A is. p is the Chebyshev polynomial of [0, c],
// whose degree is the number of steps: the space holds p(A^T A) G, and nothing more is read.
//
// Sources: Chen & Dongarra 2005 (sigma_min); van Dorsselaer, Hochstenbach & van der Vorst 2001 (one
// vector, the largest value).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

#include "algorithms/clusters.hpp"
#include "algorithms/krylov_space.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// Lower bound for the least singular value of a rows x cols Gaussian matrix, rows <= cols, which
// fails with the probability `chance`.
inline double least_gaussian_value(std::int64_t rows, std::int64_t cols, double chance) {
  const auto free = static_cast<double>(cols - rows + 1), width = static_cast<double>(cols);
  const double reach = std::pow(chance * std::sqrt(2 * std::numbers::pi * free), 1 / free);
  return free / (std::numbers::e * std::sqrt(width)) * reach;
}

// The Chebyshev polynomial of the first kind; x >= -1 but for rounding.
inline double chebyshev(double degree, double x) {
  return x <= 1 ? std::cos(degree * std::acos(std::max(x, -1.0)))
                : std::cosh(degree * std::acosh(x));
}

template <Backend B>
class StartBounds {
 public:
  // `ritz`: all pairs of a pure space, with their vectors.
  StartBounds(const KrylovSpace<B>& space, const RitzPairs& pairs, const Small& vectors,
              std::int64_t steps)
      : pairs_(pairs),
        degree_(static_cast<double>(steps)),
        seen_(matmul_adjoint(vectors, space.start())),
        coupling_(matmul(space.coupling(), vectors)),
        rounding_(4 * projection_rounding<B>(pairs)) {}

  // Bounds on the `count` largest eigenvalues of A^T A, infinite where G has too few columns. All
  // of them hold but in one case of a million.
  std::vector<double> of_first(std::int64_t count) const {
    std::vector<double> bounds(as_size(count), std::numeric_limits<double>::infinity());
    if (!(pairs_.theta(0) > 0)) return bounds;
    std::vector<std::int64_t> places{0};
    for (const std::int64_t eighths : {1, 2, 4, 6, 8})  // the best c is near the value itself
      if (const std::int64_t place = std::min((count - 1) * eighths / 8, pairs_.count() - 1);
          place > places.back())
        places.push_back(place);
    for (const std::int64_t place : places) tighten(bounds, pairs_.theta(place));
    return bounds;
  }

 private:
  void tighten(std::vector<double>& bounds, double c) const {
    const double first = pairs_.theta(0);
    if (!(c > rounding_)) return;
    constexpr double unit = std::numeric_limits<double>::epsilon();
    const double growth = chebyshev(degree_, 2 * first / c - 1);
    if (!std::isfinite(growth * growth)) return;
    const SmallSvd image = svd(image_of_start(c));
    // Of p in float64, and of the decomposition.
    double size = 0;
    for (const double x : seen_.values) size += x * x;
    const double lost = 4 * degree_ * degree_ * unit * growth * std::sqrt(size);
    const auto count = std::min(bounds.size(), image.s.size());
    for (std::size_t i = 0; i < count; ++i) {
      const double least = least_gaussian_value(static_cast<std::int64_t>(i) + 1, seen_.cols,
                                                1e-6 / static_cast<double>(bounds.size())),
                   most = (image.s[i] + lost) / least;
      const double bound =
          most <= 1 ? c : c / 2 * (1 + std::cosh(std::acosh(most) / degree_)) + rounding_;
      bounds[i] = std::min(bounds[i], bound);
    }
  }

  // p(A^T A) G in the coordinates of the Ritz vectors and of the next block, which only the highest
  // power reaches.
  Small image_of_start(double c) const {
    const std::int64_t d = seen_.rows, w = coupling_.rows, b = seen_.cols;
    Small image(d + w, b), powers(d, b);
    for (std::int64_t j = 0; j < d; ++j) {
      const double theta = pairs_.values[as_size(j)], value = chebyshev(degree_, 2 * theta / c - 1),
                   power = std::pow(4 * theta / c, degree_ - 1) * 2 / c;
      for (std::int64_t g = 0; g < b; ++g) {
        image(j, g) = value * seen_(j, g);
        powers(j, g) = power * seen_(j, g);
      }
    }
    if (w > 0) image.set_part(d, 0, matmul(coupling_, powers));
    return image;
  }

  const RitzPairs& pairs_;
  double degree_;
  Small seen_, coupling_;  // the start, and A^T A towards the next block, for each Ritz vector
  double rounding_;        // distance in lambda of A^T A from a matrix for which the space is exact
};

// Tighten upper bounds on the first eigenvalues of A^T A by orthonormal vectors v_l, for which
// |A v_l|^2 = theta_l and |A^T A v_l - theta_l v_l| = rho_l: for every i with alpha < theta_i,
// where alpha bounds lambda_{i+1}, and every j <= i
//   lambda_j <= theta_j + sum_{l <= i} rho_l^2 / (theta_l - alpha)   (Lehmann 1949; i = 1: Temple).
// `bounds` has one value more than there are vectors.
inline void tighten_by_residuals(std::vector<double>& bounds, const std::vector<double>& theta,
                                 const std::vector<double>& rho) {
  for (std::size_t i = theta.size(); i-- > 0;) {
    const double alpha = bounds[i + 1];
    if (!(alpha < theta[i])) continue;
    double more = 0;
    for (std::size_t l = 0; l <= i; ++l) more += rho[l] * rho[l] / (theta[l] - alpha);
    for (std::size_t j = 0; j <= i; ++j) bounds[j] = std::min(bounds[j], theta[j] + more);
  }
}

}  // namespace sigmascope
