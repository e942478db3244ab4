// SPDX-License-Identifier: BSD-3-Clause
// Codes in groups: a matrix of integers of a few bits, packed into words, that become numbers by a
// table, and by a scale and an offset for each group of elements. These parameters cover GPTQ, AWQ,
// compressed-tensors, NVFP4, MXFP4, bitsandbytes and MLX:
//   - `bits` of a code, and `table`, the number of each code: integers, E2M1, NF4;
//   - a pack: `order.size()` codes in the fewest words of `word` bytes that hold them. Code k of a
//     pack begins at bit order[k] * bits; bytes are little-endian, and the words of a pack follow
//     each other. Packs lie along rows, or `down` the columns, whose words then are a matrix of
//     their own. A last pack of fewer codes has fewer words;
//   - groups: element (i, j) belongs to group row_groups[i] * grid_cols + col_groups[j]. Two
//     vectors of indices stand for groups of any size and for an order of inputs (`g_idx`);
//   - or groups of `block` elements of the sequence of all rows, as bitsandbytes has them. Codes
//     then follow each other from row to row, and there are no vectors of indices;
//   - `scales`, and `zeros` or `biases` or neither, for each group.
// A number is (table[code] - zero) * scale, or table[code] * scale + bias. Every operation is
// rounded once, in fp32 and in this order.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/encodings/code_slots.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/encoding.hpp"

namespace sigmascope {

struct GroupLayout {
  std::int64_t rows = 0, cols = 0;
  int bits = 4;
  std::int64_t word = 4;  // bytes
  bool down = false;
  std::vector<std::uint8_t> order;
  std::vector<float> table;
  std::vector<std::int32_t> row_groups, col_groups;
  std::int64_t grid_cols = 1;
  std::int64_t block = 0;  // 0: each row, or column, begins at a word of its own
  std::vector<float> scales, zeros, biases;

  std::int64_t codes_of_pack() const { return static_cast<std::int64_t>(order.size()); }
  std::int64_t words_of_pack() const {
    return (codes_of_pack() * bits + 8 * word - 1) / (8 * word);
  }
  // Words of so many codes that follow each other.
  std::int64_t words_of(std::int64_t count) const {
    return count / codes_of_pack() * words_of_pack() +
           (count % codes_of_pack() * bits + 8 * word - 1) / (8 * word);
  }
  std::int64_t bytes() const {
    if (block > 0) return word * words_of(rows * cols);
    return word * (down ? cols * words_of(rows) : rows * words_of(cols));
  }
};

class GroupEncoding : public Encoding {
 public:
  // Throws std::invalid_argument if sizes disagree, or an index is out of range.
  explicit GroupEncoding(GroupLayout layout);

  std::string_view name() const override { return "groups"; }
  const GroupLayout& layout() const { return layout_; }
  std::int64_t parameter_bytes() const override;
  void decode(const Bytes& bytes, const StoredRows& wanted, float* out) const override;

 private:
  void decode_along(const Bytes& bytes, const StoredRows& wanted, float* out) const;
  void decode_down(const Bytes& bytes, const StoredRows& wanted, float* out) const;
  void decode_sequence(const Bytes& bytes, const StoredRows& wanted, float* out) const;
  void unpack(const std::uint8_t* packs, std::int64_t stored, std::uint8_t* codes) const;
  GroupRow row_from(std::int64_t group) const;
  void to_numbers(const std::uint8_t* codes, std::int64_t row, std::int64_t col0, std::int64_t cols,
                  float* out) const;
  void to_numbers_of_blocks(const std::uint8_t* codes, std::int64_t element, std::int64_t count,
                            float* out) const;

  GroupLayout layout_;
  const GroupKernels& kernels_;
  std::vector<CodeSlot> slots_;
  bool natural_ = true;  // codes follow each other
  bool counts_;          // the table counts up by one, and its numbers are small integers
  // How columns belong to groups: each to one of its own, in order; or runs of them to one, which
  // begin at `runs_`; or else in any way.
  bool own_groups_ = true;
  std::vector<std::int64_t> runs_;
};

}  // namespace sigmascope
