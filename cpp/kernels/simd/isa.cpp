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
#include "kernels/simd/four_columns.hpp"
#include "kernels/simd/group_codes.hpp"
#include "kernels/simd/group_numbers.hpp"
#include "kernels/simd/level_numbers.hpp"
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
const Isa SIGMASCOPE_JOIN(isa_, SIGMASCOPE_ISA) = {
    .name = SIGMASCOPE_TEXT(SIGMASCOPE_ISA),
    .vector_bytes = vector_bytes,
    .dot_bf16 = dot_bf16,
    .tiles = tiles,
    .dots = dot_kernels,
    .half = half,
    .conversions = {.decode_f32 = decode<float>,
                    .decode_f64 = decode<double>,
                    .round_bf16 = round_bf16},
    .product = {.f32 = product<float>,
                .f64 = product<double>,
                .f64_by_four = product_by_four,
                .bf16 = product<Pair>,
                .wide = product<Wide>},
    .adjoint = {.f32 = adjoint<float>,
                .f64 = adjoint<double>,
                .bf16 = adjoint<Pair>,
                .wide = adjoint<Wide>,
                .pair_places = pair_places.of,
                .wide_places = wide_places.of},
    .blocks = {.move_f32 = move_sums<float>,
               .move_f64 = move_sums<double>,
               .pack_pairs = pack_pairs,
               .add_entries = add_entries},
    .elements = {.statistics = stretches,
                 .survey = survey,
                 .difference = change,
                 .digest = digest,
                 .digest_keys = digest_keys},
    .gram = {.narrowest = narrowest, .pack = pack_cells, .add_products = gram_cells},
    .groups = {.codes_across = codes_across,
               .codes_of_halves = codes_of_halves,
               .codes_of_words = codes_of_words,
               .numbers = numbers_of_codes},
    .levels = {.of_halves = levels_of_halves, .with_signs = levels_with_signs},
    .eigenvalues = {.chase_bulge = chase, .counts_below = counts_below},
};

}  // namespace sigmascope
