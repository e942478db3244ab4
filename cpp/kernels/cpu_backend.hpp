// SPDX-License-Identifier: BSD-3-Clause
// The CPU's verbs. T, the precision of blocks and decoded panels, is float or double.
// Memory: one decoded panel, one block of products per panel, the blocks that the algorithm holds.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/thread_pool.hpp"
#include "kernels/elements/fingerprint.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/panel.hpp"
#include "matrix/small.hpp"

namespace sigmascope {

// Statistics of every element of a matrix, its rows and its columns.
struct ElementMoments {
  Stretch all{};
  std::int64_t first_row = -1, first_col = -1;  // the first NaN or infinity, in the order of rows
  std::vector<double> row_squares, col_squares;
  // How often each code is stored, if all tiles have one dtype of 8 or 16 bits; else empty.
  std::vector<std::int64_t> code_counts;
};

// What an algorithm must know of every element before it starts.
struct ElementSurvey {
  double largest = 0.0;             // magnitude
  std::vector<double> row_squares;  // the sum of each row's squares
  std::int64_t nans = 0, infinities = 0;
  std::int64_t first_row = -1, first_col = -1;  // the first NaN or infinity, in the order of rows
  Digest digest;                                // of all
  // The result of CpuBackend::rounded, if the pass over the elements could make it.
  std::optional<Matrix> rounded;
};

// Called by the calling thread after each panel with the stored bytes just used; throws to stop.
using Observer = std::function<void(std::int64_t bytes)>;

struct CpuOptions {
  int threads = 1;
  std::int64_t panel_rows = 0;  // 0: chosen so that a decoded panel fits the cache
  Observer observer;
};

template <class T>
class CpuBackend {
 public:
  using Real = T;
  using Block = sigmascope::Block<T>;

  explicit CpuBackend(CpuOptions options);

  static constexpr double epsilon() { return sizeof(T) == 4 ? 0x1p-24 : 0x1p-53; }
  // Whether products are made of parts of bf16.
  bool splits() const { return sizeof(T) == 4 && isa_.tiles != nullptr; }

  Block zeros(std::int64_t rows, std::int64_t cols);
  // Entry (i, j) is a function of (seed, i, column0 + j).
  Block gaussian(std::int64_t rows, std::int64_t cols, std::uint64_t seed, std::int64_t column0);
  Small to_host(const Block& x);
  Block from_host(const Small& x);

  // [x_1 x_2 ...]^T y, in T over 64 rows at a time, in fp64 above.
  Small inner(std::span<const Block> xs, const Block& y);
  // y += [x_1 x_2 ...] c
  void combine(Block& y, std::span<const Block> xs, const Small& c);

  // Where products are of parts of bf16, numbers have so many at most: two hold 16 bits.
  Block multiply(const MatrixView& a, const Block& x, int parts = tile_parts);          // A x
  Block multiply_adjoint(const MatrixView& a, const Block& y, int parts = tile_parts);  // A^T y
  // A^T (A x) in one read of A; y, if asked for, receives A x.
  Block gram_step(const MatrixView& a, const Block& x, Block* y, int parts = tile_parts);
  // The same in one read with A, x and A x rounded to bf16 (float; double: gram_step): for
  // directions, not for values.
  Block steer(const MatrixView& a, const Block& x);
  // A in memory as bf16, for many such steps: half an fp32 matrix, and none of it decoded again.
  Matrix rounded(const Matrix& a);
  // A sum of tiles in memory as what products add it up to, so that they need not, and along its
  // rows if they can: as many bytes as fp32 (fp64) takes. `to` may not be the matrix of the view.
  MatrixView gathered(const MatrixView& a, Matrix& to);
  // Where products are by tiles: a sum of tiles as numbers of bf16 and what they leave, if that is
  // not zero for one in 64 at most. `gather`: the numbers of bf16 in memory, half of what
  // `gathered` takes.
  std::optional<MatrixView> separated(const MatrixView& a, bool gather, Matrix& to, Sparse& beside);
  // A x, both rounded to bf16, summed in fp32.
  Block multiply_bf16(const MatrixView& a, const Block& x);
  Small dense(const MatrixView& a);  // A itself, in fp64 whatever T is
  // A^T A, its lower triangle, in fp64 whatever T is; or faster, with an error.
  Gram gram(const MatrixView& a, bool fast);
  // Eigenvalues of a symmetric matrix, ascending; overwrites it. Fast: with the large products in
  // fp32.
  std::vector<double> eigvalsh(Small& a, bool fast);
  ElementMoments moments(const Matrix& a, bool count_codes);
  // The rounded copy too, if it can; of a block of another matrix at its place.
  ElementSurvey survey(const Matrix& a, bool round, const BlockPlace& place);
  ElementSurvey survey(const Matrix& a, bool round = false) {
    return survey(a, round, BlockPlace{0, 0, a.rows >= a.cols});
  }
  // Digests of both too.
  ChangeSums change(const Matrix& before, const Matrix& after, Digest& was, Digest& is);
  const Isa& isa() const { return isa_; }
  // Decoded rows [i0, i1) x columns [j0, j1), row-major, ld = j1 - j0.
  void decode(const Matrix& a, std::int64_t i0, std::int64_t i1, std::int64_t j0, std::int64_t j1,
              T* out);

 private:
  // What one read of op(A) is used for: y = op(A) x and, from the same panel, z = op(A)^T y, which
  // may be empty blocks.
  struct Stages {
    const Block* x = nullptr;  // null: y is given
    const Block* given = nullptr;
    Block* y = nullptr;  // receives op(A) x, if wanted
    Block* z = nullptr;  // receives op(A)^T y, if wanted
    const Block* block() const { return x ? x : given; }
  };
  // A wide matrix in files would be read by columns: along its rows instead, twice if both products
  // are wanted, for a file has no columns. sweep(rows of A, stages, whether it is the first).
  template <class Sweep>
  static void along_rows(const MatrixView& a, const Stages& stages, const Sweep& sweep) {
    const MatrixView rows{a.matrix, false, a.factor, a.beside};
    if (!stages.x)
      return sweep(rows, {.x = stages.given, .given = nullptr, .y = stages.z, .z = nullptr}, true);
    Block own;
    Block& y = stages.y ? *stages.y : own;
    sweep(rows, {.x = nullptr, .given = stages.x, .y = nullptr, .z = &y}, true);
    if (stages.z) sweep(rows, {.x = &y, .given = nullptr, .y = stages.z, .z = nullptr}, false);
  }
  // `step`: of a search, whose sums may be in any order; else A x has the bits of the adjoint of
  // A's transpose.
  void stream(const MatrixView& a, const Stages& stages, int parts, bool step);
  void stream_tiles(const MatrixView& a, const Stages& stages, int parts);  // float
  void stream_bf16(const MatrixView& a, const Stages& stages, int parts);   // float
  // By TilePanels or Bf16Panels (float), or NumberPanels: panel_products.hpp.
  template <class Step>
  void by_panels(const MatrixView& a, const Stages& stages, int parts, bool counted);
  template <class Step>
  void at_hand_panels(const MatrixView& a, const Stages& stages, int parts, bool counted);
  template <class Step>
  void shared_panels(const MatrixView& a, const Stages& stages, int parts, bool counted);
  std::optional<Matrix> gathered_parts(const Matrix& a, bool turned);                      // float
  std::optional<Matrix> apart(const Matrix& a, bool turned, bool gather, Sparse& beside);  // float
  void observe(const Panel& panel) const {
    if (options_.observer) options_.observer(panel.stored_bytes());
  }

  CpuOptions options_;
  const Isa& isa_;
  ThreadPool pool_;
};

extern template class CpuBackend<float>;
extern template class CpuBackend<double>;

}  // namespace sigmascope
