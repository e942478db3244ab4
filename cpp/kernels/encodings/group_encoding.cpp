// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/encodings/group_encoding.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>
#include <utility>

#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t bytes_at_once = 1 << 20;
constexpr int most_bits = 8;

void check(bool fits, const std::string& what) {
  if (!fits) throw std::invalid_argument("codes in groups: " + what);
}

template <class T>
std::string count_of(const std::vector<T>& values) {
  return std::to_string(values.size());
}

void check_packs(const GroupLayout& a) {
  check(a.rows > 0 && a.cols > 0,
        std::to_string(a.rows) + " x " + std::to_string(a.cols) + " elements");
  check(a.bits >= 1 && a.bits <= most_bits, std::to_string(a.bits) + " bits, not 1 to 8");
  check(a.word == 1 || a.word == 4, "words of " + std::to_string(a.word) + " bytes, not 1 or 4");
  check(!a.order.empty() && a.order.size() <= 32, "packs of " + count_of(a.order) + " codes");
  auto sorted = a.order;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t k = 0; k < sorted.size(); ++k)
    check(sorted[k] == k, "the order within a pack is not a permutation");
  check(a.words_of_pack() == 1 || std::is_sorted(a.order.begin(), a.order.end()),
        "an order other than the natural one in packs of several words");
  check(a.table.size() == std::size_t{1} << a.bits,
        "a table of " + count_of(a.table) + " numbers for " + std::to_string(a.bits) + " bits");
}

void check_indices(const GroupLayout& a) {
  check(a.row_groups.size() == as_size(a.rows) && a.col_groups.size() == as_size(a.cols),
        "indices of " + count_of(a.row_groups) + " rows and " + count_of(a.col_groups) +
            " columns for " + std::to_string(a.rows) + " x " + std::to_string(a.cols));
  check(a.grid_cols > 0 && a.scales.size() % as_size(a.grid_cols) == 0,
        count_of(a.scales) + " scales in rows of " + std::to_string(a.grid_cols));
  const auto grid_rows = static_cast<std::int64_t>(a.scales.size()) / a.grid_cols;
  const auto within = [](std::int64_t count) {
    return [count](std::int32_t index) { return index >= 0 && index < count; };
  };
  check(std::all_of(a.row_groups.begin(), a.row_groups.end(), within(grid_rows)) &&
            std::all_of(a.col_groups.begin(), a.col_groups.end(), within(a.grid_cols)),
        "an index of a group is not within " + std::to_string(grid_rows) + " x " +
            std::to_string(a.grid_cols));
}

void check_blocks(const GroupLayout& a) {
  const std::int64_t count = (a.rows * a.cols + a.block - 1) / a.block;
  check(!a.down && a.row_groups.empty() && a.col_groups.empty(),
        "blocks of a sequence, and packs down the columns or indices of groups");
  check(a.scales.size() == as_size(count), count_of(a.scales) + " scales for " +
                                               std::to_string(count) + " blocks of " +
                                               std::to_string(a.block) + " elements");
}

void check_groups(const GroupLayout& a) {
  check(a.block >= 0, "blocks of " + std::to_string(a.block) + " elements");
  a.block > 0 ? check_blocks(a) : check_indices(a);
  check(a.zeros.empty() || a.biases.empty(), "both zeros and biases");
  for (const auto* each : {&a.zeros, &a.biases})
    check(each->empty() || each->size() == a.scales.size(),
          count_of(*each) + " zeros or biases for " + count_of(a.scales) + " scales");
}

GroupLayout checked(GroupLayout layout) {
  check_packs(layout);
  check_groups(layout);
  return layout;
}

// A sum replaces such a table, and is exact.
bool counts_up(const std::vector<float>& table) {
  if (!(table[0] >= -256 && table[0] <= 256)) return false;
  for (std::size_t k = 0; k < table.size(); ++k)
    if (std::bit_cast<std::uint32_t>(table[k]) !=
        std::bit_cast<std::uint32_t>(static_cast<float>(k) + table[0]))
      return false;
  return true;
}

}  // namespace

GroupEncoding::GroupEncoding(GroupLayout layout)
    : Encoding(layout.cols),
      layout_(checked(std::move(layout))),
      kernels_(best_isa().groups),
      counts_(counts_up(layout_.table)) {
  // A word of a pack down a column lies in one of several rows of words.
  const std::int64_t line = layout_.word * (layout_.down ? layout_.cols : 1);
  const int width = 8 * static_cast<int>(layout_.word);
  for (const int each : layout_.order) {
    const int bit = each * layout_.bits, shift = bit % width;
    const std::int64_t low = bit / width * line;
    slots_.push_back({low, shift + layout_.bits > width ? low + line : -1, shift});
  }
  natural_ = std::is_sorted(layout_.order.begin(), layout_.order.end());
  const auto& groups = layout_.col_groups;
  for (std::int64_t j = 0; j < static_cast<std::int64_t>(groups.size()); ++j) {
    own_groups_ = own_groups_ && groups[as_size(j)] == j;
    if (j == 0 || groups[as_size(j)] != groups[as_size(j - 1)]) runs_.push_back(j);
  }
  constexpr std::int64_t least_run = 8;
  if (static_cast<std::int64_t>(runs_.size()) * least_run > layout_.cols) runs_.clear();
}

std::int64_t GroupEncoding::parameter_bytes() const {
  const std::size_t indices = layout_.row_groups.size() + layout_.col_groups.size(),
                    numbers = layout_.scales.size() + layout_.zeros.size() + layout_.biases.size();
  return static_cast<std::int64_t>(indices * sizeof(std::int32_t) + numbers * sizeof(float) +
                                   runs_.size() * sizeof(std::int64_t));
}

void GroupEncoding::decode(const Bytes& bytes, const StoredRows& wanted, float* out) const {
  if (layout_.block > 0) return decode_sequence(bytes, wanted, out);
  layout_.down ? decode_down(bytes, wanted, out) : decode_along(bytes, wanted, out);
}

// Rows are read by spans if at least half of a span is wanted, else each by itself.
void GroupEncoding::decode_along(const Bytes& bytes, const StoredRows& wanted, float* out) const {
  const std::int64_t packed = layout_.codes_of_pack(),
                     pack = layout_.words_of_pack() * layout_.word,
                     row_bytes = layout_.words_of(layout_.cols) * layout_.word;
  const std::int64_t first = wanted.col0 / packed, last = (wanted.col0 + wanted.cols - 1) / packed,
                     count = last - first + 1;
  const std::int64_t length = std::min(count * pack, row_bytes - first * pack),
                     stride = wanted.step * row_bytes;
  const bool span = 2 * length >= stride;
  const std::int64_t kept = span ? stride : length,
                     at_once = std::max<std::int64_t>(bytes_at_once / kept, 1);
  std::vector<std::uint8_t> codes(as_size(count * packed));
  for (std::int64_t i = 0; i < wanted.count; i += at_once) {
    const std::int64_t rows = std::min(at_once, wanted.count - i);
    const auto at =
        static_cast<std::uint64_t>((wanted.first + i * wanted.step) * row_bytes + first * pack);
    const Buffer read = span ? bytes.read(at, as_size((rows - 1) * stride + length))
                             : bytes.read_runs(at, as_size(length), as_size(stride), as_size(rows));
    for (std::int64_t row = 0; row < rows; ++row, out += wanted.cols) {
      const auto* from = reinterpret_cast<const std::uint8_t*>(read.data) + row * kept;
      unpack(from, std::min((last + 1) * packed, layout_.cols) - first * packed, codes.data());
      to_numbers(codes.data() + wanted.col0 % packed, wanted.first + (i + row) * wanted.step,
                 wanted.col0, wanted.cols, out);
    }
  }
}

// Rows are read together if at least half of what lies from one to the next is wanted.
void GroupEncoding::decode_sequence(const Bytes& bytes, const StoredRows& wanted,
                                    float* out) const {
  const std::int64_t packed = layout_.codes_of_pack(),
                     pack = layout_.words_of_pack() * layout_.word,
                     stride = wanted.step * layout_.cols, all = layout_.rows * layout_.cols;
  const std::int64_t most = std::max<std::int64_t>(8 * bytes_at_once / (stride * layout_.bits), 1),
                     at_once = 2 * wanted.cols >= stride ? most : 1;
  const auto end_of_pack = [&](std::int64_t end) {
    return std::min((end + packed - 1) / packed * packed, all);
  };
  std::vector<std::uint8_t> codes(as_size(wanted.cols + 2 * packed));
  for (std::int64_t i = 0; i < wanted.count; i += at_once) {
    const std::int64_t rows = std::min(at_once, wanted.count - i);
    std::int64_t element = (wanted.first + i * wanted.step) * layout_.cols + wanted.col0;
    const std::int64_t first = element / packed,
                       end = end_of_pack(element + (rows - 1) * stride + wanted.cols);
    const Buffer read = bytes.read(static_cast<std::uint64_t>(first * pack),
                                   as_size(layout_.words_of(end) * layout_.word - first * pack));
    for (std::int64_t row = 0; row < rows; ++row, element += stride, out += wanted.cols) {
      const std::int64_t at = element / packed;
      unpack(reinterpret_cast<const std::uint8_t*>(read.data) + (at - first) * pack,
             end_of_pack(element + wanted.cols) - at * packed, codes.data());
      to_numbers_of_blocks(codes.data() + element % packed, element, wanted.cols, out);
    }
  }
}

// So many codes, from the first one of a pack on.
void GroupEncoding::unpack(const std::uint8_t* packs, std::int64_t stored,
                           std::uint8_t* codes) const {
  const std::int64_t packed = layout_.codes_of_pack(),
                     pack = layout_.words_of_pack() * layout_.word;
  const bool full = packed * layout_.bits == 8 * pack;
  const bool halves = layout_.bits == 4 && full;
  if (layout_.bits == 8 && full && natural_) {
    std::copy_n(packs, stored, codes);
  } else if (halves && (natural_ || packed == 2)) {
    kernels_.codes_of_halves(packs, slots_[0].shift, (stored + 1) / 2, codes);
  } else if (halves && packed == 8 && layout_.word == 4) {
    kernels_.codes_of_words(packs, layout_.order.data(), (stored + packed - 1) / packed, codes);
  } else {
    const unsigned mask = (1U << layout_.bits) - 1;
    for (std::int64_t start = 0; start < stored; start += packed, packs += pack)
      for (std::int64_t k = 0; k < std::min(packed, stored - start); ++k)
        *codes++ = layout_.word == 4 ? code_at<std::uint32_t>(packs, slots_[as_size(k)], mask)
                                     : code_at<std::uint8_t>(packs, slots_[as_size(k)], mask);
  }
}

// Rows whose packs follow each other are read together.
void GroupEncoding::decode_down(const Bytes& bytes, const StoredRows& wanted, float* out) const {
  const std::int64_t packed = layout_.codes_of_pack(), words = layout_.words_of_pack(),
                     stride = layout_.cols * layout_.word, length = wanted.cols * layout_.word;
  const bool span = 2 * length >= stride;
  const std::int64_t most = std::max<std::int64_t>(bytes_at_once / (words * stride), 1);
  const unsigned mask = (1U << layout_.bits) - 1;
  // Places of the slots within what is read.
  const auto placed = [&](std::int64_t place) {
    return span || place < 0 ? place : place / stride * length + place % stride;
  };
  const std::int64_t line = span ? stride : length;
  std::vector<std::uint8_t> codes(as_size(wanted.cols));
  for (std::int64_t i = 0; i < wanted.count;) {
    const std::int64_t row = wanted.first + i * wanted.step, first = row / packed;
    std::int64_t last = first, stop = i + 1;
    for (; stop < wanted.count; ++stop) {
      const std::int64_t next = (wanted.first + stop * wanted.step) / packed;
      if (next > last + 1 || next - first >= most) break;
      last = next;
    }
    const std::int64_t lines =
        std::min((last + 1) * words, layout_.words_of(layout_.rows)) - first * words;
    const auto at = static_cast<std::uint64_t>(first * words * stride + wanted.col0 * layout_.word);
    const Buffer read = span
                            ? bytes.read(at, as_size((lines - 1) * stride + length))
                            : bytes.read_runs(at, as_size(length), as_size(stride), as_size(lines));
    for (; i < stop; ++i, out += wanted.cols) {
      const std::int64_t at_row = wanted.first + i * wanted.step;
      const CodeSlot& slot = slots_[as_size(at_row % packed)];
      const auto* from = reinterpret_cast<const std::uint8_t*>(read.data) +
                         (at_row / packed - first) * words * line;
      const std::uint8_t* low = from + placed(slot.low);
      const std::uint8_t* high = slot.high < 0 ? nullptr : from + placed(slot.high);
      kernels_.codes_across(layout_.word, low, high, slot.shift, mask, wanted.cols, codes.data());
      to_numbers(codes.data(), at_row, wanted.col0, wanted.cols, out);
    }
  }
}

// A row whose first element, or the first of its row of the grid, is in a group.
GroupRow GroupEncoding::row_from(std::int64_t group) const {
  const auto from = [group](const std::vector<float>& values) {
    return values.empty() ? nullptr : values.data() + group;
  };
  GroupRow row{};
  row.table = layout_.table.data(), row.bits = layout_.bits, row.counts = counts_;
  row.scales = from(layout_.scales), row.zeros = from(layout_.zeros);
  row.biases = from(layout_.biases);
  return row;
}

void GroupEncoding::to_numbers(const std::uint8_t* codes, std::int64_t row, std::int64_t col0,
                               std::int64_t cols, float* out) const {
  GroupRow of = row_from(std::int64_t{layout_.row_groups[as_size(row)]} * layout_.grid_cols +
                         (own_groups_ ? col0 : 0));
  if (!own_groups_) of.groups = layout_.col_groups.data() + col0;
  if (!runs_.empty()) {
    of.runs_end = runs_.data() + runs_.size();
    of.runs = std::upper_bound(runs_.data(), of.runs_end, col0);
    of.col0 = col0;
  }
  kernels_.numbers(of, codes, cols, out);
}

void GroupEncoding::to_numbers_of_blocks(const std::uint8_t* codes, std::int64_t element,
                                         std::int64_t count, float* out) const {
  constexpr std::int32_t first = 0;
  constexpr std::int64_t no_more = 0;
  for (const std::int64_t end = element + count; element < end;) {
    const std::int64_t group = element / layout_.block,
                       here = std::min((group + 1) * layout_.block, end) - element;
    GroupRow of = row_from(group);
    of.groups = &first, of.runs = of.runs_end = &no_more;
    kernels_.numbers(of, codes, here, out);
    element += here, codes += here, out += here;
  }
}

}  // namespace sigmascope
