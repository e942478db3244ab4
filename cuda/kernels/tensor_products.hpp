// SPDX-License-Identifier: BSD-3-Clause
// Products of a panel of bf16 numbers, or of sums of two, with a block in fp32, by tensor cores.
//
// The numbers of the block are sums of one, two or three bf16 numbers, its parts: three hold all 24
// bits of fp32. Those of the panel have one part, or two, which hold the 11 bits of fp16. Products
// of bf16 numbers are exact. A tensor core truncates every sum it makes, so that a long chain of
// sums is too small: by 3e-5 for K = 28672. Its chains are therefore 32 terms of K long, with the
// products of the smallest parts first; a chain is two sums of 16 products of the largest parts, to
// which the others are small. Everything above a chain is added up in fp32, which rounds to
// nearest: the 32 chains of a group in their order, the groups of a block in theirs, and blocks as
// a tree (term_blocks.hpp).
#pragma once

#include <cstdint>

#include "kernels/bf16_parts.hpp"
#include "kernels/group_sums.hpp"
#include "runtime/runtime.hpp"

namespace sigmascope::device {

// z (rows x cols, row-major) = L x, with L (rows x depth) in bf16. Element (i, k) of L is at l + i
// * step + k, or at l + k * step + i if L is the transpose of the stored panel. All lines of the
// stored panel start at a multiple of 16 bytes and are filled up to one with numbers that are
// finite. Where `rest` is not null, L is the sum of the numbers at l and of those at the same
// places of `rest`, which are smaller. K may come in several calls as in Product (products.hpp):
// `before` terms came before, a multiple of 32, and `all` are summed in the end.
struct TensorProduct {
  const std::uint16_t* l = nullptr;
  const std::uint16_t* rest = nullptr;
  std::int64_t rows = 0, depth = 0, step = 0;
  bool transposed = false;
  BlockParts x;
  float* z = nullptr;
  // rows x cols each: the sums of the group that the call before left unfinished, and of the one
  // that this call leaves; other memory, since blocks of threads run in any order. Null if K comes
  // in one call.
  const float* group = nullptr;
  float* unfinished = nullptr;
  // tree_levels(all) times rows x cols sums, which go on from call to call.
  float* levels = nullptr;
  std::int64_t before = 0, all = 0;

  TermGroups groups() const { return {before, depth, all}; }
  // Numbers that the sums of groups take.
  std::int64_t workspace() const { return workspace_of<float>(groups(), rows * x.cols); }
};

cudaError_t multiply(const TensorProduct& product, float* workspace, cudaStream_t stream);

}  // namespace sigmascope::device
