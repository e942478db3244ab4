// SPDX-License-Identifier: BSD-3-Clause
// Products with A and the blocks rounded to bf16, summed in fp32: twice the rate of fp32 where the processor has the
// dot product (AVX-512 BF16), half the traffic between the cores' caches everywhere.
//
// What may be rounded. Rounding moves A by E with |E| about 2^-9 |A|_F / sqrt(n), and a block likewise. A Krylov
// step only chooses the next directions, so it may (block_krylov.hpp, "steering"); values, vectors and residuals are
// then read from fp32 products. A block split into bf16 hi + lo parts would be exact to 2^-17, but takes two dot
// products for each fp32 multiply-add: measured 220 against 200 GF/s, not worth a third kind of number. Where the
// processor has tiles (Intel AMX) both kinds of products are theirs: tile_panels.hpp.
#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "kernels/cpu_backend.hpp"
#include "kernels/decode_panel.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t group = 64;                           // columns of a block packed side by side: 4 vectors
constexpr std::int64_t depth = 1024;                         // K decoded and multiplied at a time
constexpr std::int64_t row_chunk = 48;                       // rows per task, whole tiles of every micro-kernel
constexpr std::int64_t strip = 192;                          // columns per task of a transposed product
constexpr std::int64_t ahead = 8;                            // rows prefetched before they are interleaved
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
  Bf16Panels(const Isa& isa, ThreadPool& pool, const MatrixView& a, const Block<float>& x, std::int64_t asked_height)
      : isa_(isa),
        pool_(pool),
        by_columns_(a.transposed),
        cols_(a.cols()),
        width_(x.ld),
        height_(std::min(asked_height > 0 ? even(asked_height) : fitting_height(), even(a.rows()))),
        ld_own_(spread<std::uint16_t>(by_columns_ ? height_ : cols_)),
        right_(cols_, width_),
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
    pool_.run(chunks(right_.pairs, row_chunk), [&](std::int64_t chunk, int) {
      const std::int64_t i = chunk * 2 * row_chunk;
      right_.pack(isa_, x.data.get(), i, std::min(cols_, i + 2 * row_chunk), block_factor_);
    });
  }

  std::int64_t height() const { return height_; }

  // y += (rows of op(A) in the panel) x, for zero y.
  void forward(const Panel& panel, float* y) {
    take(panel);
    if (by_columns_) {
      if (own_) decode_all(panel);
      add_by_columns(panel.cols, panel.rows, right_, y, Accumulate::sum_blocks);
      return;
    }
    const std::int64_t here = panel.rows, size = std::min(row_chunk, even(chunks(here, pool_.threads())));
    pool_.run(chunks(here, size), [&](std::int64_t chunk, int worker) {
      const std::int64_t i = chunk * size, end = std::min(i + size, here);
      for (std::int64_t p = 0; p < cols_; p += depth) {
        const std::int64_t stop = std::min(p + depth, cols_);
        if (own_) decode(panel, i, end, p, stop, worker);
        add_rows(isa_, row(i) + p, ld_, end - i, even(stop - p) / 2, right_, p / 2, y + i * width_,
                 Accumulate::sum_blocks);
      }
    });
  }

  // z += (rows of op(A) in the panel)^T y, after forward(panel, y).
  void adjoint(const Panel& panel, const float* y, float* z) {
    const std::int64_t here = by_columns_ ? panel.cols : panel.rows;
    pool_.run(chunks(here, row_chunk), [&](std::int64_t chunk, int) {
      left_.pack(isa_, y, chunk * row_chunk, std::min(here, (chunk + 1) * row_chunk), block_factor_);
    });
    if (!by_columns_) return add_by_columns(cols_, here, left_, z, Accumulate::chain);
    pool_.run(chunks(cols_, row_chunk), [&](std::int64_t chunk, int) {
      const std::int64_t i = chunk * row_chunk;
      add_rows(isa_, row(i), ld_, std::min(row_chunk, cols_ - i), even(here) / 2, left_, 0, z + i * width_,
               Accumulate::chain);
    });
  }

 private:
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

  // C += P^T B for the first `count` columns and `rows` rows of the panel.
  void add_by_columns(std::int64_t count, std::int64_t rows, const Packed& b, float* c, Accumulate mode) {
    const std::int64_t size = std::min(strip, even(chunks(count, pool_.threads())));
    pool_.run(chunks(count, size), [&](std::int64_t chunk, int worker) {
      const std::int64_t j = chunk * size;
      add_columns(isa_, codes_ + j, ld_, rows, std::min(size, count - j), b, c + j * width_, mode,
                  pairs_[static_cast<std::size_t>(worker)]);
    });
  }

  const Isa& isa_;
  ThreadPool& pool_;
  bool by_columns_;
  std::int64_t cols_, width_, height_, ld_own_;  // cols of op(A)
  AlignedArray<std::uint16_t> own_;              // of a panel, unless A's own bytes serve
  Packed right_, left_;
  std::vector<DecodeScratch> decoding_;
  std::vector<std::vector<std::uint32_t>> pairs_;
  float block_factor_ = 1;
  double panel_factor_ = 1;
  const std::uint16_t* codes_ = nullptr;
  std::int64_t ld_ = 0;
};

}  // namespace

template <class T>
Block<T> CpuBackend<T>::steer(const MatrixView& a, const Block& x) {
  if constexpr (std::is_same_v<T, double>) {
    return gram_step(a, x, nullptr);
  } else if (isa_.tiles) {
    Block z(a.cols(), x.cols);
    stream_tiles(a, {.x = &x, .given = nullptr, .y = nullptr, .z = &z}, true);
    return z;
  } else {
    Bf16Panels step(isa_, pool_, a, x, options_.panel_rows);
    Block y(step.height(), x.cols), z(a.cols(), x.cols);
    PanelStream panels(*a.matrix, a.transposed, step.height());
    for (std::int64_t index = 0; index < panels.count(); ++index) {
      const Panel panel = panels.next();
      std::fill_n(y.data.get(), y.rows * y.ld, 0.0f);
      step.forward(panel, y.data.get());
      step.adjoint(panel, y.data.get(), z.data.get());
      observe(panel);
    }
    return z;
  }
}

template <class T>
Block<T> CpuBackend<T>::multiply_bf16(const MatrixView& a, const Block& x) {
  if constexpr (std::is_same_v<T, double>) {
    return multiply(a, x);
  } else if (isa_.tiles) {
    Block y(a.rows(), x.cols);
    stream_tiles(a, {.x = &x, .given = nullptr, .y = &y, .z = nullptr}, true);
    return y;
  } else {
    Bf16Panels step(isa_, pool_, a, x, options_.panel_rows);
    Block y(a.rows(), x.cols);
    PanelStream panels(*a.matrix, a.transposed, step.height());
    for (std::int64_t index = 0; index < panels.count(); ++index) {
      const Panel panel = panels.next();
      step.forward(panel, y.row(a.transposed ? panel.col0 : panel.row0));
      observe(panel);
    }
    return y;
  }
}

template <class T>
Matrix CpuBackend<T>::rounded(const Matrix& a) {
  if (is_plain_bf16(a)) return a;
  const std::int64_t ld = spread<std::uint16_t>(a.cols);
  const std::shared_ptr<std::uint16_t[]> codes = aligned_array<std::uint16_t>(a.rows * ld);
  std::vector<DecodeScratch> scratch(static_cast<std::size_t>(pool_.threads()));
  PanelStream panels(a, false, row_chunk * pool_.threads());
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next();
    pool_.run(chunks(panel.rows, row_chunk), [&](std::int64_t chunk, int worker) {
      const std::int64_t i = chunk * row_chunk;
      decode_bf16(isa_, panel, i, std::min(i + row_chunk, panel.rows), 0, a.cols, 1.0,
                  codes.get() + (panel.row0 + i) * ld, ld, scratch[static_cast<std::size_t>(worker)]);
    });
    observe(panel);
  }
  Tile tile;
  tile.bytes = Bytes::in_memory(reinterpret_cast<const std::byte*>(codes.get()),
                                static_cast<std::uint64_t>(2 * a.rows * ld), codes);
  tile.dtype = DType::bf16;
  tile.rows = a.rows, tile.cols = a.cols;
  tile.row_stride = 2 * ld, tile.col_stride = 2;
  return {a.rows, a.cols, {tile}};
}

template Matrix CpuBackend<float>::rounded(const Matrix&);
template Matrix CpuBackend<double>::rounded(const Matrix&);
template Block<float> CpuBackend<float>::steer(const MatrixView&, const Block&);
template Block<double> CpuBackend<double>::steer(const MatrixView&, const Block&);
template Block<float> CpuBackend<float>::multiply_bf16(const MatrixView&, const Block&);
template Block<double> CpuBackend<double>::multiply_bf16(const MatrixView&, const Block&);

}  // namespace sigmascope
