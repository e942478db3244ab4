// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/encodings/block_encoding.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "kernels/encodings/block_errors.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t most_elements = 256, bytes_at_once = 1 << 20;

}  // namespace

BlockEncoding::BlockEncoding(const BlockLayout& layout, std::int64_t cols)
    : Encoding(cols), layout_(layout) {
  if (cols < 1 || cols % layout.elements != 0)
    throw std::invalid_argument("rows have " + std::to_string(cols) +
                                " elements, not a multiple of " + std::to_string(layout.elements) +
                                ", the block size of " + std::string(layout.name));
}

// Rows are read by spans if at least half of a span is wanted, else each by itself.
void BlockEncoding::decode(const Bytes& bytes, const StoredRows& wanted, float* out) const {
  const std::int64_t first = wanted.col0 / layout_.elements,
                     last = (wanted.col0 + wanted.cols - 1) / layout_.elements;
  const std::int64_t length = (last - first + 1) * layout_.bytes,
                     stride = wanted.step * row_bytes();
  const bool span = 2 * length >= stride;
  const std::int64_t kept = span ? stride : length,
                     at_once = std::max<std::int64_t>(bytes_at_once / kept, 1);
  for (std::int64_t i = 0; i < wanted.count; i += at_once) {
    const std::int64_t rows = std::min(at_once, wanted.count - i);
    const auto at =
        static_cast<std::uint64_t>(wanted.first * row_bytes() + i * stride + first * layout_.bytes);
    const Buffer codes = span
                             ? bytes.read(at, as_size((rows - 1) * stride + length))
                             : bytes.read_runs(at, as_size(length), as_size(stride), as_size(rows));
    const auto* blocks = reinterpret_cast<const std::uint8_t*>(codes.data);
    for (std::int64_t row = 0; row < rows; ++row, out += wanted.cols)
      decode_row(blocks + row * kept, wanted.col0 % layout_.elements, wanted.cols, out);
  }
}

// Numbers of one row from the first block on, of which some are skipped.
void BlockEncoding::decode_row(const std::uint8_t* blocks, std::int64_t skipped, std::int64_t cols,
                               float* out) const {
  const std::int64_t elements = layout_.elements;
  const auto part = [&](std::int64_t start, std::int64_t count) {
    std::array<float, most_elements> numbers;
    layout_.decode(blocks, 1, numbers.data());
    out = std::copy_n(numbers.data() + start, count, out);
    blocks += layout_.bytes, cols -= count;
  };
  if (skipped > 0) part(skipped, std::min(elements - skipped, cols));
  const std::int64_t whole = cols / elements;
  layout_.decode(blocks, whole, out);
  blocks += whole * layout_.bytes, out += whole * elements, cols -= whole * elements;
  if (cols > 0) part(0, cols);
}

std::shared_ptr<const BlockEncoding> block_encoding(std::string_view name, std::int64_t cols) {
  const BlockLayout* errors = nullptr;
  if (name.ends_with(errors_of)) {
    name.remove_suffix(errors_of.size());
    errors = error_layout(name);
  }
  return std::make_shared<const BlockEncoding>(errors != nullptr ? *errors : block_layout(name),
                                               cols);
}

}  // namespace sigmascope
