// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/cpu_tiles.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>

#include "kernels/cpu_backend.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t side = tile_side, depth = tile_depth;
constexpr std::int64_t row_chunk = 128;                       // rows per task
constexpr std::int64_t column_chunk = 512;                    // columns per task
constexpr std::int64_t strip = 64;                            // of which so many at a time
constexpr std::int64_t strip_bytes = std::int64_t{16} << 10;  // are paired: the L1 cache holds them, and the sums

// Rows of a panel. All threads at one: what their L2 caches hold, or as many as make z's sums a small part. One thread
// at one, which passes twice: what its L2 cache holds, unless the blocks fill it by themselves.
constexpr std::int64_t shared_bytes = std::int64_t{2} << 20, enough = 128, wide_bytes = std::int64_t{16} << 20;
constexpr std::int64_t blocks_bytes = std::int64_t{2} << 20, own_bytes = std::int64_t{512} << 10, most_rows = 256,
                       far_bytes = std::int64_t{8} << 20, far_rows = 128;

std::int64_t shared_rows(std::int64_t row_bytes, int threads) {
  const std::int64_t fitting = std::min<std::int64_t>(shared_bytes * threads / row_bytes, tile_sum);
  return fitting < enough ? std::min(wide_bytes / row_bytes, enough) : fitting;
}

std::int64_t own_rows(std::int64_t row_bytes, std::int64_t beside, int parts) {
  return beside < blocks_bytes ? std::min(own_bytes / row_bytes, most_rows)
                               : std::min(far_bytes / row_bytes, parts > 1 ? far_rows : most_rows);
}

std::int64_t whole(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }

bool power_of_two(double x) {
  int exponent = 0;
  return std::abs(std::frexp(x, &exponent)) == 0.5;
}

// Parts that hold every element as it is stored.
int stored_parts(const Matrix& a) {
  if (a.tiles.size() != 1) return tile_parts;
  const Tile& t = a.tiles.front();
  if (t.scale || !power_of_two(t.coefficient)) return tile_parts;
  switch (t.dtype) {
    case DType::bf16:
    case DType::f8_e4m3:
    case DType::f8_e5m2:
    case DType::f4_e2m1: return 1;
    case DType::f16: return 2;
    default: return tile_parts;
  }
}

}  // namespace

PackedBlock::PackedBlock(std::int64_t rows, std::int64_t width, int p)
    : steps(whole(rows, depth) / depth), parts(p), codes(aligned_array<std::uint16_t>(steps * depth * width * parts)) {}

TileOperand PackedBlock::operand(std::int64_t used) const {
  constexpr std::int64_t bytes = 2 * tile_codes;
  return {.data = reinterpret_cast<const std::byte*>(codes.get()),
          .stride = 2 * depth,
          .tile = used * parts * bytes,
          .step = parts * bytes,
          .part = bytes,
          .parts = parts};
}

TilePanels::TilePanels(const Isa& isa, ThreadPool& pool, const MatrixView& a, std::int64_t width, bool rounded,
                       bool alone, std::int64_t asked_height)
    : isa_(isa),
      tiles_(*isa.tiles),
      pool_(pool),
      by_columns_(a.transposed),
      most_parts_(rounded ? 1 : stored_parts(*a.matrix)),
      block_parts_(rounded ? 1 : tile_parts),
      cols_(a.cols()),
      width_(width) {
  const std::int64_t row_bytes = 2 * std::max<std::int64_t>(cols_, 1) * most_parts_;
  const std::int64_t fitting = alone ? own_rows(row_bytes, width * cols_ * (2 * block_parts_ + 4), most_parts_)
                                     : shared_rows(row_bytes, pool.threads());
  height_ = std::min(asked_height > 0 ? whole(asked_height, depth) : std::max(fitting / depth * depth, depth),
                     whole(a.rows(), depth));
  // A power of two goes into the blocks, so that stored bf16 needs no arithmetic, unless it is so large that a block
  // would leave the range.
  const bool in_blocks = std::abs(std::log2(a.factor)) < 60;
  block_factor_ = static_cast<float>(in_blocks ? a.factor : 1.0);
  panel_factor_ = in_blocks ? 1.0 : a.factor;
  decoding_.resize(static_cast<std::size_t>(pool.threads()));
  strips_.resize(static_cast<std::size_t>(pool.threads()));
  second_ = PackedBlock(height_, width_, block_parts_);
}

std::shared_ptr<const PackedBlock> TilePanels::packed(const Block<float>& x) {
  auto block = std::make_shared<PackedBlock>(cols_, width_, block_parts_);
  pack(*block, by_columns_, x.data.get(), cols_);
  return block;
}

void TilePanels::multiply_with(std::shared_ptr<const PackedBlock> x) {
  first_ = std::move(x);
  y_ = aligned_array<float>(height_ * width_);
  if (by_columns_) turned_ = aligned_array<float>(2 * width_ * spread<float>(whole(height_, depth)));
}

void TilePanels::sum_in(ChainSums& sums) {
  sums_ = &sums;
  chain_ = aligned_array<float>(sums.size());
  std::fill_n(chain_.get(), sums.size(), 0.0f);
}

// Rows [0, rows) of a row-major block, times the factor.
void TilePanels::pack(PackedBlock& to, bool left, const float* x, std::int64_t rows) const {
  const std::int64_t steps = whole(rows, depth) / depth;
  const auto packed = left ? tiles_.pack_left : tiles_.pack_right;
  constexpr std::int64_t few = 4;
  pool_.run(chunks(steps, few), [&](std::int64_t chunk, int) {
    for (std::int64_t s = chunk * few; s < std::min(steps, chunk * few + few); ++s)
      for (std::int64_t j = 0; j < width_; j += side)
        packed(x + s * depth * width_ + j, width_, std::min(depth, rows - s * depth), block_factor_, to.parts,
               to.codes.get() + (j / side * steps + s) * to.parts * tile_codes);
  });
}

void TilePanels::take(const Panel& panel) {
  here_ = by_columns_ ? panel.cols : panel.rows;
  const bool in_codes = panel_factor_ == 1.0 && is_plain<std::uint16_t>(panel, DType::bf16);
  if (in_codes && panel.rows % depth == 0 && panel.cols % depth == 0) {
    codes_ = reinterpret_cast<const std::uint16_t*>(panel.pieces.front().data);
    ld_ = panel.pieces.front().row_stride / 2;
    apart_ = 0;
    parts_ = 1;
    return;
  }
  const std::int64_t rows = whole(by_columns_ ? cols_ : height_, depth), cols = by_columns_ ? height_ : cols_;
  ld_ = spread<std::uint16_t>(whole(cols, depth));
  apart_ = rows * ld_;
  if (!own_) own_ = aligned_array<std::uint16_t>(most_parts_ * apart_);
  codes_ = own_.get();
  constexpr std::int64_t few = 16;
  const std::int64_t below = whole(panel.rows, depth), across = whole(panel.cols, depth);
  const bool as_stored = panel_factor_ == 1.0 && is_plain<float>(panel, DType::f32);
  std::vector<int> parts(static_cast<std::size_t>(chunks(below, few)), 1);
  pool_.run(chunks(below, few), [&](std::int64_t chunk, int worker) {
    DecodeScratch& scratch = decoding_[static_cast<std::size_t>(worker)];
    scratch.numbers.resize(static_cast<std::size_t>(panel.cols));
    for (std::int64_t i = chunk * few; i < std::min(below, chunk * few + few); ++i) {
      std::uint16_t* to = own_.get() + i * ld_;
      if (i >= panel.rows) {
        for (int q = 0; q < most_parts_; ++q) std::fill_n(to + q * apart_, across, std::uint16_t{0});
        continue;
      }
      if (in_codes) {
        const Piece& piece = panel.pieces.front();
        std::memcpy(to, piece.data + i * piece.row_stride, static_cast<std::size_t>(2 * panel.cols));
        std::fill_n(to + panel.cols, across - panel.cols, std::uint16_t{0});
        continue;
      }
      const float* numbers = scratch.numbers.data();
      if (as_stored)
        numbers = reinterpret_cast<const float*>(panel.pieces.front().data + i * panel.pieces.front().row_stride);
      else
        decode_panel(isa_, panel, i, i + 1, 0, panel.cols, panel_factor_, scratch.numbers.data(), panel.cols,
                     scratch.codes);
      int& most = parts[static_cast<std::size_t>(chunk)];
      most = std::max(most, tiles_.split(numbers, panel.cols, most_parts_, to, apart_));
    }
  });
  parts_ = parts.empty() ? 1 : *std::max_element(parts.begin(), parts.end());
}

TileOperand TilePanels::panel_rows(std::int64_t i, std::int64_t j) const {
  return {.data = reinterpret_cast<const std::byte*>(codes_ + i * ld_ + j),
          .stride = 2 * ld_,
          .tile = 2 * side * ld_,
          .step = 2 * depth,
          .part = 2 * apart_,
          .parts = parts_};
}

// C += P B, for `rows` rows and, from column j0, `terms` columns of the panel.
void TilePanels::add_rows(std::int64_t rows, std::int64_t j0, std::int64_t terms, const PackedBlock& b, float* c,
                          Accumulate mode) const {
  const std::int64_t steps = whole(terms, depth) / depth, all = whole(rows, depth);
  const std::int64_t chunk = std::min(row_chunk, whole(chunks(all, pool_.threads()), depth));
  pool_.run(chunks(all, chunk), [&](std::int64_t index, int) {
    const std::int64_t i = index * chunk, count = std::min(chunk, all - i);
    tiles_.multiply(count / side, width_ / side, steps, panel_rows(i, j0), b.operand(steps), false, c + i * width_,
                    width_, mode);
  });
}

// C^T += B^T P, for `cols` columns and, from row i0, `rows` rows of the panel: one chain. If there is a `total`, C is
// zero, and added to it and made zero again after every tile_sum rows.
void TilePanels::add_columns(std::int64_t i0, std::int64_t rows, std::int64_t cols, const PackedBlock& b, float* c,
                             std::int64_t ldc, float* total) {
  const std::int64_t steps = whole(rows, depth) / depth, all = whole(cols, depth),
                     chunk = std::min(column_chunk, whole(chunks(all, pool_.threads()), strip));
  constexpr std::int64_t across = strip / side, bytes = 2 * tile_codes, fresh = tile_sum / tile_depth;
  const std::int64_t step_bytes = parts_ * across * bytes, most = strip_bytes / step_bytes;
  static_assert(strip_bytes >= tile_parts * across * bytes);
  pool_.run(chunks(all, chunk), [&](std::int64_t index, int worker) {
    AlignedArray<std::uint16_t>& paired = strips_[static_cast<std::size_t>(worker)];
    if (!paired) paired = aligned_array<std::uint16_t>(strip_bytes / 2);
    const TileOperand right{.data = reinterpret_cast<const std::byte*>(paired.get()),
                            .stride = 2 * depth,
                            .tile = bytes,
                            .step = step_bytes,
                            .part = across * bytes,
                            .parts = parts_};
    const std::int64_t end = std::min(index * chunk + chunk, all);
    for (std::int64_t j = index * chunk; j < end; j += strip) {
      const std::int64_t count = std::min(strip, end - j) / side;
      for (std::int64_t s0 = 0, length = 0; s0 < steps; s0 += length) {
        length = std::min(most, std::min(steps - s0, fresh - s0 % fresh));
        for (std::int64_t s = 0; s < length; ++s)
          for (int q = 0; q < parts_; ++q)
            tiles_.pair_rows(codes_ + (i0 + (s0 + s) * depth) * ld_ + j + q * apart_, ld_, count,
                             paired.get() + (s * parts_ + q) * across * tile_codes, tile_codes);
        TileOperand left = b.operand(steps);
        left.data += s0 * left.step;
        tiles_.multiply(width_ / side, count, length, left, right, true, c + j, ldc, Accumulate::chain);
        if (!total || ((s0 + length) % fresh != 0 && s0 + length < steps)) continue;
        for (std::int64_t r = 0; r < width_; ++r)
          for (std::int64_t e = j; e < j + count * side; ++e) {
            total[r * ldc + e] += c[r * ldc + e];
            c[r * ldc + e] = 0;
          }
      }
    }
  });
}

const float* TilePanels::forward() {
  if (!by_columns_) {
    std::fill_n(y_.get(), whole(here_, depth) * width_, 0.0f);
    add_rows(here_, 0, cols_, *first_, y_.get(), Accumulate::sum_blocks);
    return y_.get();
  }
  const std::int64_t ld = spread<float>(whole(height_, depth));
  std::fill_n(turned_.get(), 2 * width_ * ld, 0.0f);
  add_columns(0, cols_, here_, *first_, turned_.get() + width_ * ld, ld, turned_.get());
  for (std::int64_t i = 0; i < whole(here_, depth); i += side)
    for (std::int64_t j = 0; j < width_; j += side)
      tiles_.transpose(turned_.get() + j * ld + i, ld, y_.get() + i * width_ + j, width_);
  return y_.get();
}

std::int64_t TilePanels::sums_size() const {
  return width_ * (by_columns_ ? whole(cols_, depth) : spread<float>(whole(cols_, depth)));
}

void TilePanels::adjoint(const float* y) {
  const std::int64_t ld = by_columns_ ? width_ : spread<float>(whole(cols_, depth));
  for (std::int64_t i = 0; i < here_;) {
    const std::int64_t run = std::min(here_ - i, tile_sum - before_ % tile_sum);
    pack(second_, !by_columns_, y + i * width_, run);
    if (by_columns_) add_rows(cols_, i, run, second_, chain_.get(), Accumulate::chain);
    else add_columns(i, run, cols_, second_, chain_.get(), ld, nullptr);
    i += run;
    before_ += run;
    if (before_ % tile_sum == 0) sums_->add(before_ / tile_sum - 1, chain_.get(), pool_);
  }
}

void TilePanels::end() {
  if (before_ % tile_sum != 0) sums_->add(before_ / tile_sum, chain_.get(), pool_);
}

void TilePanels::result(const ChainSums& sums, Block<float>& z) const {
  if (by_columns_) {
    std::copy_n(sums.data(), cols_ * width_, z.data.get());
    return;
  }
  const std::int64_t ld = spread<float>(whole(cols_, depth));
  constexpr std::int64_t part = 256;
  pool_.run(chunks(cols_, part), [&](std::int64_t chunk, int) {
    alignas(64) float turned[side * side];
    for (std::int64_t i = chunk * part; i < std::min(cols_, chunk * part + part); i += side)
      for (std::int64_t j = 0; j < width_; j += side) {
        tiles_.transpose(sums.data() + j * ld + i, ld, turned, side);
        for (std::int64_t r = 0; r < std::min(side, cols_ - i); ++r)
          std::copy_n(turned + r * side, side, z.row(i + r) + j);
      }
  });
}

ChainSums::ChainSums(std::int64_t size) : size_(size), z_(aligned_array<float>(size)) {
  std::fill_n(z_.get(), size, 0.0f);
}

void ChainSums::add(std::int64_t index, float* chain, ThreadPool& pool) {
  {
    std::unique_lock lock(mutex_);
    next_.wait(lock, [&] { return turn_ == index || given_up_; });
    if (given_up_) return;
  }
  constexpr std::int64_t part = std::int64_t{1} << 14;
  pool.run(chunks(size_, part), [&](std::int64_t chunk, int) {
    float *z = z_.get() + chunk * part, *sum = chain + chunk * part;
    for (std::int64_t e = 0; e < std::min(part, size_ - chunk * part); ++e) {
      z[e] += sum[e];
      sum[e] = 0;
    }
  });
  const std::lock_guard lock(mutex_);
  ++turn_;
  next_.notify_all();
}

void ChainSums::give_up() {
  const std::lock_guard lock(mutex_);
  given_up_ = true;
  next_.notify_all();
}

template <class T>
void CpuBackend<T>::tiles_by_rows(const MatrixView& a, const Stages& stages, bool rounded, bool counted) {
  if constexpr (std::is_same_v<T, float>) {
    const std::int64_t ld = (stages.x ? stages.x : stages.given)->ld;
    TilePanels all(isa_, pool_, a, ld, rounded, true, options_.panel_rows);
    const auto x = stages.x ? all.packed(*stages.x) : nullptr;
    std::optional<ChainSums> sums;
    if (stages.z) sums.emplace(all.sums_size());
    struct Own {
      ThreadPool pool{1};
      std::optional<TilePanels> step;
    };
    std::vector<Own> own(static_cast<std::size_t>(pool_.threads()));
    std::atomic<std::int64_t> done = 0;
    pool_.run(chunks(a.rows(), tile_sum), [&](std::int64_t chain, int worker) {
      try {
        auto& [pool, step] = own[static_cast<std::size_t>(worker)];
        if (!step) {
          step.emplace(isa_, pool, a, ld, rounded, true, options_.panel_rows);
          if (x) step->multiply_with(x);
          if (sums) step->sum_in(*sums);
        }
        const std::int64_t end = std::min(chain * tile_sum + tile_sum, a.rows());
        step->start(chain * tile_sum);
        for (std::int64_t row = chain * tile_sum; row < end; row += step->height()) {
          const Panel panel = fetch_panel(*a.matrix, row, std::min(row + step->height(), end), 0, a.cols());
          step->take(panel);
          const float* y = stages.x ? step->forward() : stages.given->row(row);
          if (stages.y) std::copy_n(y, panel.rows * ld, stages.y->row(row));
          if (stages.z) step->adjoint(y);
          if (counted) done += panel.stored_bytes();
        }
        if (stages.z) step->end();
        if (worker == 0 && options_.observer) options_.observer(done.exchange(0));
      } catch (...) {
        if (sums) sums->give_up();
        throw;
      }
    });
    if (options_.observer) options_.observer(done.exchange(0));
    if (sums) all.result(*sums, *stages.z);
  }
}

// Every thread takes chains of rows, and of each a few rows at a time: its own caches hold them for the second product,
// and nobody waits for the others. Along A's rows, whichever product comes first: columns of A are not near each other.
template <class T>
void CpuBackend<T>::tiles_at_hand(const MatrixView& a, const Stages& stages, bool rounded) {
  if constexpr (std::is_same_v<T, float>) {
    const MatrixView rows{a.matrix, false, a.factor};
    if (!a.transposed) return tiles_by_rows(rows, stages, rounded, true);
    if (!stages.x)
      return tiles_by_rows(rows, {.x = stages.given, .given = nullptr, .y = stages.z, .z = nullptr}, rounded, true);
    Block own = stages.y ? Block() : Block(a.matrix->cols, stages.x->cols);
    Block& y = stages.y ? *stages.y : own;
    tiles_by_rows(rows, {.x = nullptr, .given = stages.x, .y = nullptr, .z = &y}, rounded, true);
    if (stages.z) tiles_by_rows(rows, {.x = &y, .given = nullptr, .y = stages.z, .z = nullptr}, rounded, false);
  }
}

// Panel after panel, all threads at each.
template <class T>
void CpuBackend<T>::stream_tiles(const MatrixView& a, const Stages& stages, bool rounded) {
  if constexpr (std::is_same_v<T, float>) {
    if (a.matrix->in_memory() && chunks(a.matrix->rows, tile_sum) >= pool_.threads())
      return tiles_at_hand(a, stages, rounded);
    TilePanels step(isa_, pool_, a, (stages.x ? stages.x : stages.given)->ld, rounded, false, options_.panel_rows);
    std::optional<ChainSums> sums;
    if (stages.x) step.multiply_with(step.packed(*stages.x));
    if (stages.z) step.sum_in(sums.emplace(step.sums_size()));
    PanelStream panels(*a.matrix, a.transposed, step.height());
    for (std::int64_t index = 0; index < panels.count(); ++index) {
      const Panel panel = panels.next();
      const std::int64_t row0 = a.transposed ? panel.col0 : panel.row0, here = a.transposed ? panel.cols : panel.rows;
      step.take(panel);
      const float* y = stages.x ? step.forward() : stages.given->row(row0);
      if (stages.y) std::copy_n(y, here * stages.y->ld, stages.y->row(row0));
      if (stages.z) step.adjoint(y);
      observe(panel);
    }
    if (!stages.z) return;
    step.end();
    step.result(*sums, *stages.z);
  }
}

template void CpuBackend<float>::stream_tiles(const MatrixView&, const Stages&, bool);
template void CpuBackend<double>::stream_tiles(const MatrixView&, const Stages&, bool);
template void CpuBackend<float>::tiles_at_hand(const MatrixView&, const Stages&, bool);
template void CpuBackend<double>::tiles_at_hand(const MatrixView&, const Stages&, bool);
template void CpuBackend<float>::tiles_by_rows(const MatrixView&, const Stages&, bool, bool);
template void CpuBackend<double>::tiles_by_rows(const MatrixView&, const Stages&, bool, bool);

}  // namespace sigmascope
