// SPDX-License-Identifier: BSD-3-Clause
// Bytes that a pass of products takes in addition to its matrix and its blocks: panels,
// operands, sums of the adjoint product.
#pragma once

#include <cstdint>

#include "kernels/blocks/pass_layout.hpp"

namespace sigmascope {

// The products of a pass: A X and A^T (A X), or one of them.
enum class PassProducts { both, one };

// Of NumberPanels<T>, with blocks of `columns` columns.
template <class T>
std::int64_t number_pass_bytes(const PassLayout& layout, std::int64_t columns,
                               PassProducts products);
// Of Bf16Panels, both products.
std::int64_t bf16_pass_bytes(const PassLayout& layout, std::int64_t columns);
// Of TilePanels, in however many parts the numbers turn out to be.
std::int64_t tile_pass_bytes(const PassLayout& layout, std::int64_t columns, PassProducts products);

}  // namespace sigmascope
