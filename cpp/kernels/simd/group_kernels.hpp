// SPDX-License-Identifier: BSD-3-Clause
// The part of the table that decodes codes in groups, see encodings/group_encoding.hpp.
#pragma once

#include <cstdint>

namespace sigmascope {

// How codes of one row become numbers. Pointers are those of its first column.
struct GroupRow {
  const float* table;  // the number of each code
  int bits;            // of a code
  bool counts;  // the table counts up by one from table[0], and its numbers are small integers
  const float* scales;
  const float* zeros;   // null: none
  const float* biases;  // null: none
  // Of each column, among those that `scales` points to. Null: each column has one of its own.
  const std::int32_t* groups;
  // Columns, of all of the matrix, at which runs of one group begin after the first one here, which
  // is column `col0`. Null: there are no runs.
  const std::int64_t *runs, *runs_end;
  std::int64_t col0;
};

struct GroupKernels {
  // One code out of each of `count` words of 1 or 4 bytes. `high`: words with the bits that the
  // first ones do not hold, or null.
  void (*codes_across)(std::int64_t word, const std::uint8_t* low, const std::uint8_t* high,
                       int shift, unsigned mask, std::int64_t count, std::uint8_t* codes);
  // Two codes of each byte, `first` the shift of the first one.
  void (*codes_of_halves)(const std::uint8_t* bytes, int first, std::int64_t count,
                          std::uint8_t* codes);
  // Eight codes of each word of 4 bytes, order[k] the place of code k in it.
  void (*codes_of_words)(const std::uint8_t* words, const std::uint8_t* order, std::int64_t count,
                         std::uint8_t* codes);
  void (*numbers)(const GroupRow& row, const std::uint8_t* codes, std::int64_t count, float* out);
};

}  // namespace sigmascope
