// SPDX-License-Identifier: BSD-3-Clause
// Compiled once per instruction set (see CMakeLists.txt): the same kernels, other vectors.
#include "kernels/simd/isa.hpp"

#include "kernels/simd/adjoint.hpp"
#include "kernels/simd/bf16_pairs.hpp"
#include "kernels/simd/bulge_chasing.hpp"
#include "kernels/simd/decode.hpp"
#include "kernels/simd/difference_sums.hpp"
#include "kernels/simd/digest.hpp"
#include "kernels/simd/dots.hpp"
#include "kernels/simd/element_statistics.hpp"
#include "kernels/simd/packed_gram.hpp"
#include "kernels/simd/product.hpp"
#include "kernels/simd/sparse_product.hpp"
#include "kernels/simd/sturm.hpp"
#include "kernels/simd/tiles.hpp"

#define SIGMASCOPE_TEXT_(x) #x
#define SIGMASCOPE_TEXT(x) SIGMASCOPE_TEXT_(x)
#define SIGMASCOPE_JOIN_(x, y) x##y
#define SIGMASCOPE_JOIN(x, y) SIGMASCOPE_JOIN_(x, y)

namespace sigmascope {

#if defined(__AVX512BF16__)
constexpr bool dot_bf16 = true;
#else
constexpr bool dot_bf16 = false;
#endif
#if defined(__AVX512F__)
extern const Isa isa_avx2;
constexpr const Isa* half = &isa_avx2;
#else
constexpr const Isa* half = nullptr;
#endif

extern const Isa SIGMASCOPE_JOIN(isa_, SIGMASCOPE_ISA);
// clang-format off
const Isa SIGMASCOPE_JOIN(isa_, SIGMASCOPE_ISA) = {
    SIGMASCOPE_TEXT(SIGMASCOPE_ISA), vector_bytes, dot_bf16, tiles, dot_kernels, half,
    decode<float>, decode<double>,
    product<float>, product<double>, product<Pair>, product<Wide>,
    adjoint<float>, adjoint<double>, adjoint<Pair>, adjoint<Wide>, pair_places.of, wide_places.of,
    move_sums<double>, move_sums<float>, round_bf16, pack_pairs, add_entries,
    stretches, survey, change, digest, digest_keys,
    narrowest, pack_cells, gram_cells,
    chase, counts_below,
};
// clang-format on

}  // namespace sigmascope
