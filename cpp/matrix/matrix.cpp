// SPDX-License-Identifier: BSD-3-Clause
#include "matrix/matrix.hpp"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "matrix/sizes.hpp"

namespace sigmascope {

Matrix Matrix::transposed() const {
  Matrix result{cols, rows, tiles};
  for (Tile& tile : result.tiles) {
    std::swap(tile.rows, tile.cols);
    std::swap(tile.row_stride, tile.col_stride);
    std::swap(tile.row0, tile.col0);
    std::swap(tile.scale_row0, tile.scale_col0);
    std::swap(tile.scale_row_step, tile.scale_col_step);
    if (tile.scale) {
      auto scale = std::make_shared<Scale>(*tile.scale);
      std::swap(scale->block_rows, scale->block_cols);
      std::swap(scale->row_stride, scale->col_stride);
      tile.scale = std::move(scale);
    }
  }
  return result;
}

namespace {

// The numbers start, start + step and so on below `end` that lie in [at, at + extent): the offset
// of the first one from `at`, its place in the sequence, and their number.
struct Steps {
  std::int64_t first, place, count;
};
Steps steps_in(std::int64_t start, std::int64_t end, std::int64_t step, std::int64_t at,
               std::int64_t extent) {
  const std::int64_t place = (std::max<std::int64_t>(at - start, 0) + step - 1) / step,
                     first = start + place * step;
  const std::int64_t most = std::min(end, at + extent) - first;
  return {first - at, place, most > 0 ? (most + step - 1) / step : 0};
}

}  // namespace

Matrix Matrix::slice(std::int64_t i0, std::int64_t i1, std::int64_t j0, std::int64_t j1,
                     std::int64_t row_step, std::int64_t col_step) const {
  Matrix result{(i1 - i0 + row_step - 1) / row_step, (j1 - j0 + col_step - 1) / col_step, {}};
  for (const Tile& tile : tiles) {
    const Steps rows_in = steps_in(i0, i1, row_step, tile.row0, tile.rows);
    const Steps cols_in = steps_in(j0, j1, col_step, tile.col0, tile.cols);
    if (rows_in.count == 0 || cols_in.count == 0) continue;
    Tile cut = tile;
    cut.rows = rows_in.count, cut.cols = cols_in.count;
    cut.origin += rows_in.first * tile.row_stride + cols_in.first * tile.col_stride;
    cut.row_stride *= row_step, cut.col_stride *= col_step;
    cut.scale_row0 += rows_in.first * tile.scale_row_step;
    cut.scale_col0 += cols_in.first * tile.scale_col_step;
    cut.scale_row_step *= row_step, cut.scale_col_step *= col_step;
    cut.row0 = rows_in.place, cut.col0 = cols_in.place;
    result.tiles.push_back(std::move(cut));
  }
  return result;
}

Matrix Matrix::scaled(double factor) const {
  Matrix result = *this;
  for (Tile& tile : result.tiles) tile.coefficient *= factor;
  return result;
}

void Matrix::add(const Matrix& other, std::int64_t row_at, std::int64_t col_at) {
  if (!tiles.empty() && !other.tiles.empty() && device() != other.device())
    throw OtherDevice("matrices on " + place_name(device()) + " and on " +
                      place_name(other.device()) +
                      " cannot be joined or added; copy one of them first (x.cpu() or x.cuda() of "
                      "torch, x.get() or cupy.asarray(x) of CuPy)");
  for (Tile tile : other.tiles) {
    tile.row0 += row_at;
    tile.col0 += col_at;
    tiles.push_back(std::move(tile));
  }
}

std::int64_t Matrix::stored_bytes() const {
  std::int64_t total = 0;
  for (const Tile& tile : tiles) total += tile.stored_bytes();
  return total;
}

std::int64_t Matrix::parameter_bytes() const {
  std::int64_t total = 0;
  std::set<const void*> seen;
  for (const Tile& tile : tiles) {
    if (tile.scale != nullptr && seen.insert(tile.scale->values.get()).second)
      total += static_cast<std::int64_t>(tile.scale->values->size() * sizeof(float));
    if (tile.encoding != nullptr && seen.insert(tile.encoding.get()).second)
      total += tile.encoding->parameter_bytes();
  }
  return total;
}

bool Matrix::in_memory() const {
  return std::all_of(tiles.begin(), tiles.end(),
                     [](const Tile& t) { return !t.bytes.only_in_file(); });
}

int Matrix::device() const { return tiles.empty() ? on_host : tiles.front().bytes.device(); }

bool Matrix::mostly_column_major() const {
  std::int64_t column = 0;
  for (const Tile& tile : tiles)
    if (tile.column_major()) column += tile.stored_bytes();
  return 2 * column > stored_bytes();
}

bool Matrix::has_f64() const {
  return std::any_of(tiles.begin(), tiles.end(),
                     [](const Tile& t) { return t.dtype == DType::f64; });
}

double Matrix::layers() const {
  std::int64_t elements = 0;
  for (const Tile& tile : tiles) elements += tile.rows * tile.cols;
  return static_cast<double>(elements) /
         static_cast<double>(std::max<std::int64_t>(rows * cols, 1));
}

void Matrix::check_mappings() const {
  const ByteSource* last = nullptr;  // tiles of one file mostly follow each other
  for (const Tile& tile : tiles) {
    const ByteSource* source = tile.bytes.only_in_file() ? nullptr : tile.bytes.source();
    if (source != nullptr && source != last) source->check_unchanged();
    last = source;
  }
}

void Matrix::stop_reading() const {
  for (const Tile& tile : tiles)
    if (tile.bytes.only_in_file()) tile.bytes.source()->stop_reading();
}

Matrix Matrix::loaded() const {
  Matrix result = *this;
  for (Tile& tile : result.tiles) {
    if (!tile.bytes.only_in_file() || tile.rows == 0 || tile.cols == 0) continue;
    Rectangle read = read_rectangle(tile, 0, 0, tile.rows, tile.cols);
    auto buffer = std::make_shared<const Buffer>(std::move(read.buffer));
    tile.bytes = Bytes::in_memory(buffer->data, buffer->size, buffer);
    tile.encoding = nullptr;
    tile.origin = 0;
    tile.row_stride = read.row_stride;
    tile.col_stride = read.col_stride;
  }
  return result;
}

Matrix Matrix::copied() const {
  Matrix result = *this;
  for (Tile& tile : result.tiles) {
    if (tile.bytes.only_in_file() || tile.rows == 0 || tile.cols == 0) continue;
    const std::int64_t size = info(tile.dtype).size, count = tile.rows * tile.cols;
    const bool by_column = tile.column_major();
    const std::int64_t lines = by_column ? tile.cols : tile.rows, length = count / lines;
    const std::int64_t line_stride = by_column ? tile.col_stride : tile.row_stride,
                       step = by_column ? tile.row_stride : tile.col_stride;
    const std::byte* from = tile.bytes.data(on_host) + tile.origin;
    auto memory = std::make_shared<AlignedArray<std::byte>>(aligned_array<std::byte>(count * size));
    std::byte* to = memory->get();
    for (std::int64_t i = 0; i < lines; ++i)
      for (std::int64_t j = 0; j < length; ++j, to += size)
        std::memcpy(to, from + i * line_stride + j * step, as_size(size));
    tile.bytes = Bytes::in_memory(memory->get(), as_size(count * size), memory);
    tile.origin = 0;
    tile.row_stride = by_column ? size : length * size;
    tile.col_stride = by_column ? length * size : size;
  }
  return result;
}

namespace {

// `count` elements, two to a byte, of a file tile from element `start` on, as one byte each.
void unpack(const Tile& tile, std::int64_t start, std::int64_t count, std::byte* into) {
  const std::int64_t first = start / 2, last = (start + count + 1) / 2;
  const Buffer pairs = tile.bytes.read(static_cast<std::uint64_t>(first), as_size(last - first));
  const std::byte* pair = pairs.data;
  constexpr auto low = std::byte{15};
  std::int64_t e = 0;
  if (start % 2 == 1) into[e++] = *pair++ >> 4;
  for (; e + 1 < count; e += 2, ++pair) into[e] = *pair & low, into[e + 1] = *pair >> 4;
  if (e < count) into[e] = *pair & low;
}

// The rectangle of an encoded tile. Its corners give the rows and columns of the stored matrix. A
// stride is a step of stored rows exactly if it is at least a row; of a single row or column it
// does not matter.
Rectangle decode_rectangle(const Tile& tile, std::int64_t i0, std::int64_t j0, std::int64_t rows,
                           std::int64_t cols) {
  constexpr std::int64_t size = sizeof(float);
  const std::int64_t width = tile.encoding->cols();
  const std::int64_t down = tile.row_stride / size, across = tile.col_stride / size;
  const std::int64_t first = tile.origin / size + i0 * down + j0 * across,
                     last = first + (rows - 1) * down + (cols - 1) * across;
  std::int64_t step = 1;
  if (rows > 1 && down >= width) step = down / width;
  if (cols > 1 && across >= width) step = across / width;
  const StoredRows wanted{first / width, (last / width - first / width) / step + 1, step,
                          first % width, last % width - first % width + 1};
  const std::int64_t count = wanted.count * wanted.cols;
  auto memory = aligned_array<std::byte>(count * size);
  std::byte* data = memory.get();
  tile.encoding->decode(tile.bytes, wanted, reinterpret_cast<float*>(data));
  const auto stride = [&](std::int64_t s) { return size * (s >= width ? wanted.cols : s); };
  return {{std::move(memory), data, as_size(count * size)}, stride(down), stride(across)};
}

}  // namespace

// Lines run along the axis whose elements are adjacent in the file; when the wanted part of each
// line is most of it, the whole span is one read, else one read per line.
Rectangle read_rectangle(const Tile& tile, std::int64_t i0, std::int64_t j0, std::int64_t rows,
                         std::int64_t cols) {
  if (tile.encoding) return decode_rectangle(tile, i0, j0, rows, cols);
  const std::int64_t size = info(tile.dtype).size;
  const bool by_column = tile.row_stride < tile.col_stride;
  const std::int64_t lines = by_column ? cols : rows;
  const std::int64_t length = by_column ? rows : cols;
  const std::int64_t line_stride = by_column ? tile.col_stride : tile.row_stride;
  const std::int64_t step = by_column ? tile.row_stride : tile.col_stride;
  const std::int64_t start = tile.origin + i0 * tile.row_stride + j0 * tile.col_stride;
  const std::int64_t line_bytes = (length - 1) * step + size;  // file tiles have positive strides
  const bool whole = 2 * line_bytes >= line_stride;
  const std::int64_t kept_stride = whole ? line_stride : line_bytes;
  const auto total = as_size((lines - 1) * kept_stride + line_bytes);
  if (info(tile.dtype).packed > 1) {
    auto memory = aligned_array<std::byte>(static_cast<std::int64_t>(total));
    std::byte* data = memory.get();
    if (whole) unpack(tile, start, static_cast<std::int64_t>(total), data);
    else
      for (std::int64_t line = 0; line < lines; ++line)
        unpack(tile, start + line * line_stride, line_bytes, data + line * kept_stride);
    return {{std::move(memory), data, total},
            by_column ? step : kept_stride,
            by_column ? kept_stride : step};
  }
  const auto first = static_cast<std::uint64_t>(start);
  Buffer buffer = whole ? tile.bytes.read(first, total)
                        : tile.bytes.read_runs(first, as_size(line_bytes), as_size(line_stride),
                                               as_size(lines));
  return {std::move(buffer), by_column ? step : kept_stride, by_column ? kept_stride : step};
}

}  // namespace sigmascope
