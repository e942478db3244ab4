// SPDX-License-Identifier: BSD-3-Clause
// Encodings: a file holds codes, which are decoded to fp32 when they are read.
#pragma once

#include <cstdint>
#include <string_view>

#include "storage/bytes.hpp"

namespace sigmascope {

// A rectangle of a stored matrix: rows first, first + step and so on, and columns that follow each
// other.
struct StoredRows {
  std::int64_t first, count, step;
  std::int64_t col0, cols;
};

// The layout of a stored matrix of `cols` columns, in C order, whose elements have no addresses of
// their own: blocks with scales, groups, codebooks.
class Encoding {
 public:
  explicit Encoding(std::int64_t cols) : cols_(cols) {}
  virtual ~Encoding() = default;
  Encoding(const Encoding&) = delete;
  Encoding& operator=(const Encoding&) = delete;

  // By its name and its columns another process makes the same.
  virtual std::string_view name() const = 0;
  std::int64_t cols() const { return cols_; }
  // Bytes in memory of scales, zeros and tables that are not among the codes.
  virtual std::int64_t parameter_bytes() const { return 0; }

  // The numbers of a rectangle, row after row without gaps. `bytes` are those of the tile, in a
  // file. Reads a megabyte at a time, or a row if that is more.
  virtual void decode(const Bytes& bytes, const StoredRows& wanted, float* out) const = 0;

 private:
  std::int64_t cols_;
};

}  // namespace sigmascope
