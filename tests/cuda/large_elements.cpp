// SPDX-License-Identifier: BSD-3-Clause
// Kernels that write a number for each element.
#include <cmath>

#include "kernels/bf16_parts.hpp"
#include "kernels/blocks/gaussian.hpp"
#include "kernels/bytes.hpp"
#include "kernels/decode.hpp"
#include "kernels/simd/element_kernels.hpp"
#include "kernels/stretch_formats.hpp"
#include "kernels/verbs.hpp"
#include "large_main.hpp"
#include "runtime/batch.hpp"

namespace large {

namespace {

using namespace sigmascope;
using namespace sigmascope::device;

// Elements of which the last of the 2^24 threads of a grid takes one beyond 2^32.
constexpr std::int64_t enough = many + (std::int64_t{1} << 24);

void make_gaussian(const Stream& stream) {
  Numbers<float> x(2 * enough);
  each_of_last_block(enough, [&](std::int64_t i) { x.open(2 * i), x.open(2 * i + 1); });
  check(fill_gaussian(BlockView<float>{x.data(), enough, 2}, 5, 0, stream.handle()), "gaussian");
  stream.wait();
  each_of_last_block(enough, [&](std::int64_t i) {
    const auto pair = gaussian_pair(5, static_cast<std::uint64_t>(i), 0);
    for (std::int64_t j = 0; j < 2; ++j)
      if (std::abs(static_cast<double>(x.take(2 * i + j)) - pair[as_size(j)]) > 1e-5)
        throw std::runtime_error("row " + std::to_string(i) + " is another one");
  });
  x.expect_no_more();
}

// A number of fp32 whose three parts in bf16 are powers of two apart.
constexpr int apart = 10;
float in_parts(std::int64_t place) {
  return static_cast<float>(small_number(place)) * (1 + 0x1p-10F + 0x1p-20F);
}

void split_a_block(const Stream& stream) {
  constexpr std::int64_t rows = many / 64 + 40, cols = 64, of_last = 32;
  BlockParts parts(3, rows, cols);
  Numbers<float> x(rows * cols);
  Numbers<std::uint16_t> codes(parts.size());
  const std::int64_t k0 = parts.step - of_last, j0 = cols - of_last;
  const auto each = [&](const auto& act) {
    for (std::int64_t k = k0; k < parts.step; ++k)
      for (std::int64_t j = j0; j < cols; ++j)
        for (int part = 0; part < parts.count; ++part)
          act(k, j, part, (part * cols + j) * parts.step + k);
  };
  each([&](std::int64_t k, std::int64_t j, int part, std::int64_t at) {
    if (part == 0 && k < rows) x.set(k * cols + j, in_parts(k * cols + j));
    codes.open(at);
  });
  parts.codes = codes.data();
  check(split_block({x.data(), rows, cols}, 1.0F, parts, stream.handle()), "split_block");
  stream.wait();
  each([&](std::int64_t k, std::int64_t j, int part, std::int64_t at) {
    codes.expect(at, k < rows ? bf16_number(k * cols + j, -apart * part) : std::uint16_t{0});
  });
  x.check_reach(), codes.expect_no_more();
}

// The last block of threads has the last of 2^16 rows.
void round_rows(const Stream& stream) {
  constexpr std::int64_t rows = 1 << 16, cols = rows + 5, step = rows + 8, i = rows - 1;
  Numbers<float> x(rows * cols);
  Numbers<std::uint16_t> codes(rows * step), rest(rows * step);
  for (std::int64_t j = 0; j < cols; ++j) x.set(i * cols + j, in_parts(i * cols + j));
  for (std::int64_t j = 0; j < step; ++j) codes.open(i * step + j), rest.open(i * step + j);
  check(to_bf16({x.data(), rows, cols}, {codes.data(), rest.data(), step}, stream.handle()),
        "to_bf16");
  stream.wait();
  for (std::int64_t j = 0; j < step; ++j) {
    const bool inside = j < cols;
    codes.expect(i * step + j, inside ? bf16_number(i * cols + j) : std::uint16_t{0});
    rest.expect(i * step + j, inside ? bf16_number(i * cols + j, -apart) : std::uint16_t{0});
  }
  x.check_reach(), codes.expect_no_more(), rest.expect_no_more();
}

// A piece of bf16 numbers without gaps, of rows x cols, which is a whole panel. A block of threads
// takes tiles of 1024 numbers that follow each other.
template <class T>
void decode_a_panel(const Stream& stream, std::int64_t rows, std::int64_t cols, bool by_columns) {
  constexpr std::int64_t tile = 1024, blocks = 1 << 12;
  Numbers<std::uint16_t> codes(rows * cols);
  Numbers<T> numbers(rows * cols);
  const StoredPiece piece{.data = reinterpret_cast<const std::byte*>(codes.data()),
                          .row_stride = 2 * cols,
                          .col_stride = 2,
                          .rows = rows,
                          .cols = cols,
                          .dtype = DType::bf16,
                          .by_columns = by_columns};
  const auto each = [&](const auto& act) {
    for (std::int64_t first = (blocks - 1) * tile; first < rows * cols; first += blocks * tile)
      for (std::int64_t e = first; e < first + tile; ++e) act(e);
  };
  each([&](std::int64_t e) { codes.set(e, bf16_number(e)), numbers.open(e); });
  check(decode({{&piece, 1}, true, rows, cols}, numbers.data(), nullptr, stream.handle()),
        "decode");
  stream.wait();
  each([&](std::int64_t e) { numbers.expect(e, static_cast<T>(small_number(e))); });
  codes.check_reach(), numbers.expect_no_more();
}

void decode_rows_of_a_panel(const Stream& stream) {
  decode_a_panel<float>(stream, 2, many / 2 + (1 << 23), false);
}

void decode_columns_of_a_panel(const Stream& stream) {
  decode_a_panel<double>(stream, many / 32 + (1 << 17), 32, true);
}

// A piece at the end of a panel, whose codes and scales are far apart.
void decode_a_piece(const Stream& stream, bool by_columns) {
  constexpr std::int64_t n = 40, of_last = 32, row0 = 1 << 17, panel_rows = row0 + n,
                         panel_cols = 1 << 15, col0 = panel_cols - n;
  constexpr std::int64_t line = many / 32 + 8;  // from one line of codes or scales to the next
  const std::int64_t row_step = by_columns ? 1 : line, col_step = by_columns ? line : 1;
  Numbers<std::uint16_t> codes(n * line);
  Numbers<float> scales(2 * n * (line + 1)), numbers(panel_rows * panel_cols);
  const StoredPiece piece{.data = reinterpret_cast<const std::byte*>(codes.data()),
                          .row_stride = 2 * row_step,
                          .col_stride = 2 * col_step,
                          .rows = n,
                          .cols = n,
                          .row0 = row0,
                          .col0 = col0,
                          .dtype = DType::bf16,
                          .by_columns = by_columns,
                          .scales = scales.data(),
                          .scale_row_stride = line,
                          .scale_col_stride = line + 1};
  const auto each = [&](const auto& act) {
    for (std::int64_t i = of_last; i < n; ++i)
      for (std::int64_t j = by_columns ? of_last : 0; j < n; ++j)
        act(i * row_step + j * col_step, i * line + j * (line + 1),
            (row0 + i) * panel_cols + col0 + j);
  };
  each([&](std::int64_t code, std::int64_t scale, std::int64_t at) {
    codes.set(code, bf16_number(code));
    scales.set(scale, static_cast<float>(small_number(scale)));
    numbers.open(at);
  });
  check(
      decode({{&piece, 1}, true, panel_rows, panel_cols}, numbers.data(), nullptr, stream.handle()),
      "decode");
  stream.wait();
  each([&](std::int64_t code, std::int64_t scale, std::int64_t at) {
    numbers.expect(at, static_cast<float>(small_number(code) * small_number(scale)));
  });
  codes.check_reach(), scales.check_reach(), numbers.expect_no_more();
}

void decode_a_piece_by_rows(const Stream& stream) { decode_a_piece(stream, false); }
void decode_a_piece_by_columns(const Stream& stream) { decode_a_piece(stream, true); }

// Sums in fp64 times a factor beyond fp32.
void scale_sums_of_pieces(const Stream& stream) {
  constexpr std::int64_t cols = 1 << 16, rows = enough / cols;
  Numbers<double> sums(enough);
  Numbers<float> numbers(enough);
  each_of_last_block(
      enough, [&](std::int64_t e) { sums.set(e, small_number(e) * 0x1p-200), numbers.open(e); });
  const Decoding decoding{.pieces = {}, .rows = rows, .cols = cols, .factor = 0x1p200};
  check(decode(decoding, numbers.data(), sums.data(), stream.handle()), "decode");
  stream.wait();
  each_of_last_block(
      enough, [&](std::int64_t e) { numbers.expect(e, static_cast<float>(small_number(e))); });
  sums.check_reach(), numbers.expect_no_more();
}

// Of rows with two stretches each.
void set_formats_of_stretches(const Stream& stream) {
  constexpr std::int64_t rows = enough / 2, cols = 2 * stretch_length;
  Numbers<std::uint8_t> formats(enough);
  const StoredPiece piece{.rows = rows, .cols = cols, .dtype = DType::f8_e4m3};
  each_of_last_block(enough, [&](std::int64_t e) { formats.open(e); });
  check(find_formats({&piece, 1}, true, {0, rows, 0, cols},
                     reinterpret_cast<DType*>(formats.data()), stream.handle()),
        "find_formats");
  stream.wait();
  each_of_last_block(enough, [&](std::int64_t e) {
    formats.expect(e, static_cast<std::uint8_t>(DType::f8_e4m3));
  });
  formats.expect_no_more();
}

// As a batch does it.
void fill_words_of_bytes(const Stream&) {
  Numbers<std::uint64_t> words(enough);
  each_of_last_block(enough, [&](std::int64_t e) { words.open(e); });
  Batch batch(0, 1, 1);
  Batch::Member& member = batch.enter(0);
  Recorder::of_thread() = &member;
  check(set_bytes(words.data(), 0x11, as_size(enough) * sizeof(std::uint64_t), member.stream()),
        "set_bytes");
  member.finish();
  Recorder::of_thread() = nullptr;
  batch.leave(member);
  each_of_last_block(enough, [&](std::int64_t e) { words.expect(e, 0x1111111111111111); });
  words.expect_no_more();
}

}  // namespace

std::vector<Case> cases_of_elements() {
  return {{"gaussian", make_gaussian},
          {"split_block", split_a_block},
          {"to_bf16", round_rows},
          {"decode_rows", decode_rows_of_a_panel},
          {"decode_columns", decode_columns_of_a_panel},
          {"decode_rows of a piece", decode_a_piece_by_rows},
          {"decode_columns of a piece", decode_a_piece_by_columns},
          {"scale_sums", scale_sums_of_pieces},
          {"set_formats", set_formats_of_stretches},
          {"fill_words", fill_words_of_bytes}};
}

}  // namespace large
