// SPDX-License-Identifier: BSD-3-Clause
// Eigenvalues of a symmetric matrix in two stages: to a band, which is matrix products, and from
// the band to tridiagonal form, which is small and stays in the cache.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/blocks/thread_pool.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/small.hpp"

namespace sigmascope {

// Ascending. Both read the lower triangle and overwrite it.
// `pulse` is called now and then by the calling thread, and throws to stop. No bit depends on the
// number of threads. Each value is within a few n^1/2 units of roundoff of the exact one, in units
// of the largest. Throw std::runtime_error when LAPACK fails.
std::vector<double> two_stage_eigenvalues(const Isa& isa, ThreadPool& pool, Small& a,
                                          GramProducts products,
                                          const std::function<void()>& pulse);
// By two stages, or where n is small by LAPACK's one.
std::vector<double> symmetric_eigenvalues(const Isa& isa, ThreadPool& pool, Small& a,
                                          GramProducts products,
                                          const std::function<void()>& pulse);

// Bytes that `symmetric_eigenvalues` takes in addition to the matrix of order n, at most.
std::int64_t eigenvalue_bytes(std::int64_t n, int threads);

}  // namespace sigmascope
