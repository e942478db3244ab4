// SPDX-License-Identifier: BSD-3-Clause
// Panels of a matrix as bf16, and products with them by pairs: Isa::product_bf16. For cpu_bf16.cpp alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "kernels/block.hpp"
#include "kernels/decode_panel.hpp"
#include "kernels/isa.hpp"
#include "kernels/thread_pool.hpp"
#include "matrix/panel.hpp"

namespace sigmascope {
namespace {

constexpr std::int64_t group = 64;                           // columns of a block packed side by side: 4 vectors
constexpr std::int64_t depth = 1024;                         // K decoded and multiplied at a time
constexpr std::int64_t row_chunk = 48;                       // rows per task, whole tiles of every micro-kernel
constexpr std::int64_t strip = 192;                          // columns per task of a transposed product
constexpr std::int64_t ahead = 8;                            // rows prefetched before they are interleaved
constexpr std::int64_t chain = 512;                          // rows of one: k_block pairs (product.hpp)
constexpr std::int64_t panel_bytes = std::int64_t{2} << 20;  // of bf16; the block's chain of sums is read once a panel

std::int64_t even(std::int64_t n) { return (n + 1) / 2 * 2; }

// A block as pairs of rows, `group` columns after another: group g's word (pair, column) at data[g*pairs*group + ...].
struct Packed {
  std::int64_t pairs, cols;  // cols: padded to whole vectors
  AlignedArray<std::uint32_t> data;

  Packed(std::int64_t rows, std::int64_t ld)
      : pairs(even(rows) / 2), cols(ld), data(aligned_array<std::uint32_t>(pairs * ld)) {}
  std::int64_t width(std::int64_t j) const { return std::min(group, cols - j); }
  const std::uint32_t* at(std::int64_t pair, std::int64_t j) const { return data.get() + j * pairs + pair * width(j); }

  // Rows [i0, i1) of a row-major block that starts at x, as bf16(factor x); i0 is even, a missing row is zero.
  void pack(const Isa& isa, const float* x, std::int64_t i0, std::int64_t i1, float factor) {
    std::uint16_t rows[2][group];
    for (std::int64_t i = i0; i < i1; i += 2)
      for (std::int64_t j = 0; j < cols; j += group) {
        const std::int64_t w = width(j);
        isa.round_bf16(x + i * cols + j, w, factor, rows[0]);
        if (i + 1 < i1) isa.round_bf16(x + (i + 1) * cols + j, w, factor, rows[1]);
        else std::fill_n(rows[1], w, std::uint16_t{0});
        isa.interleave(rows[0], rows[1], w, data.get() + j * pairs + i / 2 * w);
      }
  }
};

// C += P B for rows of a bf16 panel that lie `ld` apart: pairs along a row are pairs in memory.
void add_rows(const Isa& isa, const std::uint16_t* panel, std::int64_t ld, std::int64_t rows, std::int64_t pairs,
              const Packed& b, std::int64_t pair0, float* c, Accumulate mode) {
  for (std::int64_t j = 0; j < b.cols; j += group)
    isa.product_bf16(rows, b.width(j), pairs, reinterpret_cast<const std::uint32_t*>(panel), ld / 2, 1, b.at(pair0, j),
                     b.width(j), c + j, b.cols, mode);
}

// C += P^T B for `count` columns and `rows` rows of a panel: its rows interleaved in pairs first.
void add_columns(const Isa& isa, const std::uint16_t* panel, std::int64_t ld, std::int64_t rows, std::int64_t count,
                 const Packed& b, float* c, Accumulate mode, std::vector<std::uint32_t>& scratch) {
  static constexpr std::uint16_t no_row[strip] = {};
  scratch.resize(static_cast<std::size_t>(depth / 2 * strip));
  for (std::int64_t i = 0; i < rows; i += depth) {
    const std::int64_t end = std::min(rows, i + depth), pairs = even(end - i) / 2;
    for (std::int64_t p = 0; p < pairs; ++p) {
      const std::uint16_t* first = panel + (i + 2 * p) * ld;
      for (std::int64_t e = 0; e < count; e += 32) {  // short runs of many rows: the processor does not see them coming
        __builtin_prefetch(first + ahead * ld + e);
        __builtin_prefetch(first + (ahead + 1) * ld + e);
      }
      isa.interleave(first, i + 2 * p + 1 < end ? first + ld : no_row, count, scratch.data() + p * strip);
    }
    for (std::int64_t j = 0; j < b.cols; j += group)
      isa.product_bf16(count, b.width(j), pairs, scratch.data(), 1, strip, b.at(i / 2, j), b.width(j), c + j, b.cols,
                       mode);
  }
}

// Whether a matrix's own bytes can be multiplied: bf16, pairs along whole rows, nothing to scale.
bool is_plain_bf16(const Matrix& a) {
  if (a.tiles.size() != 1) return false;
  const Tile& t = a.tiles.front();
  return t.bytes.data() != nullptr && t.dtype == DType::bf16 && t.coefficient == 1.0 && !t.scale && t.col_stride == 2 &&
         t.row_stride % 4 == 0 && a.cols % 2 == 0 && t.row0 == 0 && t.col0 == 0 && t.rows == a.rows &&
         t.cols == a.cols && reinterpret_cast<std::uintptr_t>(t.bytes.data() + t.origin) % 4 == 0;
}

// One read of A: its panels as bf16, and what is multiplied with them.
class Bf16Panels {
 public:
  Bf16Panels(const Isa& isa, ThreadPool& pool, const MatrixView& a, std::int64_t width, std::int64_t asked_height)
      : isa_(isa),
        pool_(pool),
        by_columns_(a.transposed),
        rows_(a.rows()),
        cols_(a.cols()),
        width_(width),
        height_(std::min(asked_height > 0 ? even(asked_height) : fitting_height(), even(a.rows()))),
        ld_own_(spread<std::uint16_t>(by_columns_ ? height_ : cols_)),
        left_(height_, width_),
        decoding_(static_cast<std::size_t>(pool.threads())),
        pairs_(static_cast<std::size_t>(pool.threads())) {
    // A power of two commutes with rounding: it goes into the blocks, so that stored bf16 needs no arithmetic, unless
    // it is so large that a block would leave the range.
    const bool in_blocks = std::abs(std::log2(a.factor)) < 60;
    block_factor_ = static_cast<float>(in_blocks ? a.factor : 1.0);
    panel_factor_ = in_blocks ? 1.0 : a.factor;
    if (!in_blocks || !is_plain_bf16(*a.matrix)) {
      const std::int64_t size = (by_columns_ ? cols_ : height_) * ld_own_;
      own_ = aligned_array<std::uint16_t>(size);
      std::fill_n(own_.get(), size, std::uint16_t{0});
    }
  }

  std::int64_t height() const { return height_; }

  // What `forward` multiplies with.
  void multiply_with(const Block<float>& x) {
    right_.emplace(cols_, width_);
    pack(*right_, x.data.get(), cols_);
  }

  // y += (rows of op(A) in the panel) x, for zero y.
  void forward(const Panel& panel, float* y, Accumulate mode = Accumulate::sum_blocks) {
    take(panel);
    if (by_columns_) {
      if (own_) decode_all(panel);
      add_by_columns(0, panel.cols, panel.rows, *right_, y, mode);
      return;
    }
    const std::int64_t here = panel.rows, size = std::min(row_chunk, even(chunks(here, pool_.threads())));
    pool_.run(chunks(here, size), [&](std::int64_t chunk, int worker) {
      const std::int64_t i = chunk * size, end = std::min(i + size, here);
      for (std::int64_t p = 0; p < cols_; p += depth) {
        const std::int64_t stop = std::min(p + depth, cols_);
        if (own_) decode(panel, i, end, p, stop, worker);
        add_rows(isa_, row(i) + p, ld_, end - i, even(stop - p) / 2, *right_, p / 2, y + i * width_, mode);
      }
    });
  }

  // z += (rows of op(A) in the panel)^T y, after forward(panel, y).
  void adjoint(const Panel& panel, const float* y, float* z) {
    const std::int64_t here = by_columns_ ? panel.cols : panel.rows;
    pack(left_, y, here);
    if (narrow()) return add_narrow(here);
    if (!by_columns_) return add_by_columns(0, cols_, here, left_, z, Accumulate::chain);
    pool_.run(chunks(cols_, row_chunk), [&](std::int64_t chunk, int) {
      const std::int64_t i = chunk * row_chunk;
      add_rows(isa_, row(i), ld_, std::min(row_chunk, cols_ - i), even(here) / 2, left_, 0, z + i * width_,
               Accumulate::chain);
    });
  }

  // What `adjoint` has kept to itself, into z, which is zero but for that.
  void finish(float* z) {
    if (!narrow()) return;
    pool_.run(chunks(cols_, strip), [&](std::int64_t chunk, int) {
      for (std::int64_t j = chunk * strip; j < std::min(cols_, (chunk + 1) * strip); ++j) {
        const float* tile = turned_.get() + j / narrow_tile * narrow_tile * width_ + narrow_place(j % narrow_tile);
        for (std::int64_t c = 0; c < width_; ++c) z[j * width_ + c] = tile[c * narrow_tile];
      }
    });
  }

  // z += (the panel)^T y for panels of rows alone, in the order of `forward` of columns; `sums` is zero between chains.
  void adjoint_in_chains(const Panel& panel, const float* y, Block<float>& sums, Block<float>& z) {
    take(panel);
    if (own_) decode_all(panel);
    for (std::int64_t i = 0, run = 0; i < panel.rows; i += run) {
      const std::int64_t row = panel.row0 + i;
      run = std::min(panel.rows - i, chain - row % chain);
      pack(left_, y + i * width_, run);
      add_by_columns(i, cols_, run, left_, sums.data.get(), Accumulate::chain);
      if ((row + run) % chain != 0 && row + run != rows_) continue;
      pool_.run(chunks(cols_, strip), [&](std::int64_t chunk, int) {
        const std::int64_t begin = chunk * strip * width_, end = std::min(begin + strip * width_, cols_ * width_);
        for (std::int64_t e = begin; e < end; ++e) z.data[e] += sums.data[e], sums.data[e] = 0.0f;
      });
    }
  }

 private:
  bool narrow() const { return isa_.narrow_adjoint && !by_columns_ && width_ == narrow_width; }

  // z^T += y^T (the panel), as tiles of 32 columns.
  void add_narrow(std::int64_t rows) {
    if (!turned_) {
      const std::int64_t size = chunks(cols_, narrow_tile) * narrow_tile * width_;
      turned_ = aligned_array<float>(size);
      std::fill_n(turned_.get(), size, 0.0f);
    }
    const std::int64_t size = std::min(strip, chunks(chunks(cols_, pool_.threads()), narrow_tile) * narrow_tile);
    pool_.run(chunks(cols_, size), [&](std::int64_t chunk, int) {
      for (std::int64_t j = chunk * size; j < std::min(cols_, (chunk + 1) * size); j += narrow_tile)
        isa_.narrow_adjoint(codes_ + j, ld_, rows, std::min(narrow_tile, cols_ - j), left_.at(0, 0),
                            turned_.get() + j * width_);
    });
  }

  void pack(Packed& to, const float* x, std::int64_t rows) const {
    pool_.run(chunks(rows, 2 * row_chunk), [&](std::int64_t chunk, int) {
      const std::int64_t i = chunk * 2 * row_chunk;
      to.pack(isa_, x, i, std::min(rows, i + 2 * row_chunk), block_factor_);
    });
  }

  const std::uint16_t* row(std::int64_t i) const { return codes_ + i * ld_; }

  // The panel's numbers: where they are stored, or where they will be decoded to.
  void take(const Panel& panel) {
    codes_ = own_ ? own_.get() : reinterpret_cast<const std::uint16_t*>(panel.pieces.front().data);
    ld_ = own_ ? ld_own_ : panel.pieces.front().row_stride / 2;
  }

  std::int64_t fitting_height() const {
    const std::int64_t turn = row_chunk * pool_.threads(), most = std::max(depth / turn, std::int64_t{1});
    return std::clamp<std::int64_t>(panel_bytes / (2 * cols_ * turn), 1, most) * turn;
  }

  void decode(const Panel& panel, std::int64_t i0, std::int64_t i1, std::int64_t j0, std::int64_t j1, int worker) {
    decode_bf16(isa_, panel, i0, i1, j0, j1, panel_factor_, own_.get() + i0 * ld_ + j0, ld_,
                decoding_[static_cast<std::size_t>(worker)]);
  }

  void decode_all(const Panel& panel) {
    pool_.run(chunks(panel.rows, row_chunk), [&](std::int64_t chunk, int worker) {
      const std::int64_t i = chunk * row_chunk, end = std::min(i + row_chunk, panel.rows);
      decode(panel, i, end, 0, panel.cols, worker);
      if (panel.cols % 2 != 0)  // there are codes of the panel before
        for (std::int64_t r = i; r < end; ++r) own_[r * ld_ + panel.cols] = 0;
    });
  }

  // C += P^T B for the first `count` columns and, from row i0, `rows` rows of the panel.
  void add_by_columns(std::int64_t i0, std::int64_t count, std::int64_t rows, const Packed& b, float* c,
                      Accumulate mode) {
    const std::int64_t size = std::min(strip, even(chunks(count, pool_.threads())));
    pool_.run(chunks(count, size), [&](std::int64_t chunk, int worker) {
      const std::int64_t j = chunk * size;
      add_columns(isa_, codes_ + i0 * ld_ + j, ld_, rows, std::min(size, count - j), b, c + j * width_, mode,
                  pairs_[static_cast<std::size_t>(worker)]);
    });
  }

  const Isa& isa_;
  ThreadPool& pool_;
  bool by_columns_;
  std::int64_t rows_, cols_, width_, height_, ld_own_;  // of op(A)
  AlignedArray<std::uint16_t> own_;                     // of a panel, unless A's own bytes serve
  std::optional<Packed> right_;
  Packed left_;
  AlignedArray<float> turned_;  // z^T, see add_narrow
  std::vector<DecodeScratch> decoding_;
  std::vector<std::vector<std::uint32_t>> pairs_;
  float block_factor_ = 1;
  double panel_factor_ = 1;
  const std::uint16_t* codes_ = nullptr;
  std::int64_t ld_ = 0;
};

}  // namespace
}  // namespace sigmascope
