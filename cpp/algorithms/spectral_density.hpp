// SPDX-License-Identifier: BSD-3-Clause
// Quadrature of the spectrum of A^T A from a block Krylov space: nodes, and a weight of each node
// for each random probe.
//
// For column l of the start, g = next R0 e_l:
//     g^T f(A^T A) g ~ sum_i f(theta_i) (x_i[first block]^T R0 e_l)^2.
// If f is convex, the Gauss rule is too small and the Radau rule with a node at 0 is too large, so
// that both bracket the integral.
//
// Sources: Ubaru, Chen & Saad 2017 (stochastic Lanczos quadrature); Golub & Meurant 2010 (block
// Gauss and Gauss-Radau rules).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "algorithms/krylov_space.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

struct Quadrature {
  std::vector<double> gauss_nodes, radau_nodes;  // lambda, descending
  Small gauss_weights, radau_weights;            // nodes x probes
  std::vector<double> residuals;                 // of the Gauss nodes' Ritz vectors, lambda
  std::int64_t columns = 0;
};

// The weight of each Ritz vector (column of `vectors`) for each probe of a start that lies in the
// first columns of the basis.
inline Small probe_weights(const Small& vectors, const Small& start) {
  const Small first =
      matmul_adjoint(vectors.part(0, start.rows, 0, vectors.cols), start);  // nodes x probes
  Small weights(first.rows, first.cols);
  for (std::size_t e = 0; e < first.values.size(); ++e)
    weights.values[e] = first.values[e] * first.values[e];
  return weights;
}

// The quadrature of a pure space: its start lies in the first block, and only the last block is
// coupled to the next one. `t`: the eigenpairs of the projection, if they have been computed.
template <Backend B>
Quadrature quadrature(const KrylovSpace<B>& space, const std::optional<Diagonalized>& t = {}) {
  const std::int64_t d = space.columns(), last = space.last_columns();
  const Small start = space.start().part(0, std::min(space.start().cols, d), 0, space.start().cols);
  const Small beta = space.coupling().part(0, space.coupling().rows, d - last, d);
  Quadrature rule;
  rule.columns = d;
  const EigenRows gauss = t && t->order() == d ? t->rows(start.rows, last)
                                               : Diagonalized(space.t()).rows(start.rows, last);
  rule.gauss_nodes = gauss.values;
  for (double& node : rule.gauss_nodes) node = std::max(node, 0.0);
  rule.gauss_weights = probe_weights(gauss.first, start);
  rule.residuals = column_norms(matmul(beta, gauss.last));
  if (space.exhausted() || d >= space.size()) {  // the Gauss rule is exact
    rule.radau_nodes = rule.gauss_nodes;
    rule.radau_weights = rule.gauss_weights;
    return rule;
  }
  // T with one more block row. Its diagonal block beta T^-1_(last,last) beta^T makes the extended
  // matrix singular.
  const std::int64_t w = beta.rows;
  const double least = 1e-14 * std::max(gauss.values.front(), 0.0);
  Small root = gauss.last;  // the last rows of T^-1/2
  for (std::int64_t j = 0; j < d; ++j) {
    const double scale = 1 / std::sqrt(std::max(gauss.values[as_size(j)], least));
    for (std::int64_t i = 0; i < last; ++i) root(i, j) *= scale;
  }
  const Small coupled = matmul(beta, root);  // w x d
  Small extended(d + w, d + w);
  extended.set_part(0, 0, space.t());
  extended.set_part(d, d - last, beta);
  extended.set_part(d - last, d, beta.transposed());
  extended.set_part(d, d, matmul(coupled, coupled.transposed()));
  const EigenRows radau = Diagonalized(std::move(extended)).rows(start.rows, 0);
  rule.radau_nodes = radau.values;
  for (double& node : rule.radau_nodes) node = std::max(node, 0.0);
  rule.radau_weights = probe_weights(radau.first, start);
  return rule;
}

}  // namespace sigmascope
