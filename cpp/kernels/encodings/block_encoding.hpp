// SPDX-License-Identifier: BSD-3-Clause
// A matrix whose rows are blocks of one layout.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "kernels/encodings/block_layouts.hpp"
#include "matrix/encoding.hpp"

namespace sigmascope {

class BlockEncoding : public Encoding {
 public:
  // Throws std::invalid_argument if the columns are not whole blocks.
  BlockEncoding(const BlockLayout& layout, std::int64_t cols);

  std::string_view name() const override { return layout_.name; }
  std::int64_t row_bytes() const { return cols() / layout_.elements * layout_.bytes; }
  void decode(const Bytes& bytes, const StoredRows& wanted, float* out) const override;

 private:
  void decode_row(const std::uint8_t* blocks, std::int64_t skipped, std::int64_t cols,
                  float* out) const;

  const BlockLayout& layout_;
};

// An encoding by its name and its columns.
std::shared_ptr<const BlockEncoding> block_encoding(std::string_view name, std::int64_t cols);

}  // namespace sigmascope
