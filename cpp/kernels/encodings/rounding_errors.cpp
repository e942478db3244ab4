// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/encodings/rounding_errors.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/encodings/block_encoding.hpp"
#include "kernels/encodings/block_errors.hpp"
#include "kernels/encodings/code_cells.hpp"
#include "kernels/encodings/group_encoding.hpp"

namespace sigmascope {

namespace {

// A number is rounded to a multiple of its scale, whatever is added to it.
std::shared_ptr<const Encoding> deviations_of(const GroupEncoding& encoding) {
  GroupLayout layout = encoding.layout();
  layout.table = code_deviations(layout.table);
  for (float& scale : layout.scales) scale = std::abs(scale);
  layout.zeros.clear(), layout.biases.clear();
  return std::make_shared<const GroupEncoding>(std::move(layout));
}

// Null if they are not known.
std::shared_ptr<const Encoding> deviations_of(const Encoding& encoding) {
  if (const auto* groups = dynamic_cast<const GroupEncoding*>(&encoding))
    return deviations_of(*groups);
  const BlockLayout* blocks = error_layout(encoding.name());
  if (blocks == nullptr) return nullptr;
  return std::make_shared<const BlockEncoding>(*blocks, encoding.cols());
}

bool overlapping(const std::vector<Tile>& tiles) {
  for (auto one = tiles.begin(); one != tiles.end(); ++one)
    for (auto two = tiles.begin(); two != one; ++two)
      if (one->row0 < two->row0 + two->rows && two->row0 < one->row0 + one->rows &&
          one->col0 < two->col0 + two->cols && two->col0 < one->col0 + one->cols)
        return true;
  return false;
}

}  // namespace

bool is_quantised(const Matrix& matrix) {
  return std::any_of(matrix.tiles.begin(), matrix.tiles.end(), [](const Tile& t) {
    return t.encoding || t.scale || info(t.dtype).size == 1;
  });
}

bool is_encoded(const Matrix& matrix) {
  return std::any_of(matrix.tiles.begin(), matrix.tiles.end(),
                     [](const Tile& t) { return t.encoding != nullptr; });
}

std::optional<Matrix> deviations_of(const Matrix& matrix) {
  if (matrix.tiles.empty() || matrix.layers() != 1 || overlapping(matrix.tiles))
    return std::nullopt;
  Matrix result = matrix;
  // Tiles that were cut out of one tensor share its encoding, which may be large.
  std::vector<std::pair<std::shared_ptr<const Encoding>, std::shared_ptr<const Encoding>>> known;
  for (Tile& tile : result.tiles) {
    if (!tile.encoding) return std::nullopt;
    auto entry = std::find_if(known.begin(), known.end(),
                              [&](const auto& each) { return each.first == tile.encoding; });
    if (entry == known.end())
      entry = known.insert(known.end(), {tile.encoding, deviations_of(*tile.encoding)});
    if (entry->second == nullptr) return std::nullopt;
    tile.encoding = entry->second;
  }
  return result;
}

}  // namespace sigmascope
