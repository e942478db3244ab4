// SPDX-License-Identifier: BSD-3-Clause
// A^T A by panels of fixed gram_rows, in fp64 or faster. The products of 64 panels are added up
// before they go to the total: over m rows, errors grow with 64 + m / 32768, not with m / 512.
//
// Fast: a panel whose every element is a bf16 number is multiplied in bf16, else one of fp32
// numbers in fp32, else in fp64: a function of the values, not of how they are stored. Sums run
// over cell_rows rows in fp32, then in fp64; by tiles, which add up 32 terms by themselves, over a
// panel: they err less, and no less is claimed.
//
// The error. A sum in fp32 over K = cell_rows terms errs by at most u K^1/2 times the norm of its
// terms, if these have random signs, with u the rms rounding. For the entries E_ij of all panels
// together, in the mean over i and j, that is u K^1/2 (sum_k r_k^2)^1/2 / n with r_k = ||row k||^2,
// and n the number of columns that share the norm evenly. Rows that repeat err alike: those of
// equal norm count as one. If columns have a mean cosine c, partial sums grow in proportion, and
// c^2 2K/3 comes on top. What that means for an eigenvalue is the algorithm's to say. It is an
// estimate, held against many spectra, not a theorem. `doubtful` says where its premises fail:
//   - few columns have nearly all of the norm: errors do not average out;
//   - two columns are parallel: their products are squares, and sums of squares of bf16 numbers
//     are biased by 6e-7 (an odd square is 1 modulo 8, so the rounding errors are not random). On
//     the diagonal, where that always holds, the sum is made in fp64.
#pragma once

#include <cstdint>

#include "kernels/blocks/cpu.hpp"
#include "kernels/blocks/pass_layout.hpp"
#include "matrix/panel.hpp"
#include "matrix/small.hpp"

namespace sigmascope {

// A^T A, its lower triangle, in fp64.
Gram gram_matrix(Cpu& cpu, const MatrixView& a, GramProducts products);

// The most sums that follow one another in one of its elements: of panels, and of groups of these.
// Within a panel, sums are those of a product.
std::int64_t gram_additions(std::int64_t rows, std::int64_t n);

// Bytes that it takes in addition to its result, for the Gram matrix of the shorter side.
std::int64_t gram_pass_bytes(const PassLayout& layout, GramProducts products);

}  // namespace sigmascope
