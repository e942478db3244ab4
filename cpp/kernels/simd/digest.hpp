// SPDX-License-Identifier: BSD-3-Clause
// A hash of the numbers of a stretch of a row, with their signs and places. It is a part of the
// hash of a matrix: see fingerprint.hpp. Equal numbers of all formats give equal sums.
#pragma once

#include <cstdint>

#include "kernels/simd/element_lanes.hpp"
#include "kernels/simd/isa.hpp"

namespace sigmascope {
namespace {

using Words = Vector<std::uint32_t>;
using Sums = Vector<std::uint64_t>;
constexpr std::uint64_t low_half = 0xffffffffu, fraction_rest = (std::uint64_t{1} << 29) - 1;
// Difference of the exponent biases of fp64 and fp32.
constexpr std::uint64_t bias_apart = std::uint64_t{896} << 23;
constexpr std::uint32_t rest_key = 0x85ebca6au;  // even: keys stay odd

// Products of the lower halves.
inline Sums half_products(Sums a, Sums b) {
#if defined(__AVX512F__)
  return (Sums)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (Sums)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#else
  return (a & low_half) * (b & low_half);
#endif
}
// Products mod 2^64 by keys of 32 bits.
inline Sums products(Sums a, Sums key) {
  return half_products(a, key) + (half_products(a >> 32, key) << 32);
}

inline std::uint64_t sum_lanes(Sums v) {
  std::uint64_t total = 0;
  for (int i = 0; i < lanes<std::uint64_t>; ++i) total += v[i];
  return total;
}

// One number: sign, exponent and 23 bits of fraction are a word of fp32 whose exponent is
// unbounded; what more fp64 has is another word, or rounded to those.
inline void add_number(double number, std::uint32_t key, bool whole, Digest& to) {
  if (number == 0) {
    to.zeros += key;
    return;
  }
  std::uint64_t bias = bias_apart, bits = __builtin_bit_cast(std::uint64_t, number);
  if ((bits << 1 >> 53) == 0) {  // subnormal
    bits = __builtin_bit_cast(std::uint64_t, number * 0x1p54);
    bias += std::uint64_t{54} << 23;
  }
  const std::uint64_t magnitude = bits << 1 >> 1, sign = bits >> 63 << 31;
  const std::uint64_t rounded = magnitude + (fraction_rest >> 1) + (magnitude >> 29 & 1);
  to.sum += (((whole ? magnitude : rounded) >> 29) - bias + sign) * key;
  if (whole) to.sum += (magnitude & fraction_rest) * (key ^ rest_key);
}

// Words of fp32, whole vectors of them. False if some are subnormal; without `careful`, if some are
// zero.
template <bool careful, class WordsAt>
bool add_words(const WordsAt& words_at, std::int64_t n, const std::uint32_t* keys,
               std::uint32_t other, Digest& to) {
  constexpr std::int64_t width = lanes<std::uint32_t>;
  const Words mask = Words{} + 0x7fffffffu, normal = Words{} + 0x00800000u,
              others = Words{} + other;
  Sums sum{}, zeros{};
  Words least = mask, subnormal{};
  for (std::int64_t i = 0; i < n; i += width) {
    Words word = words_at(i), key = load(keys + i) ^ others;
    const Words magnitude = word & mask;
    if constexpr (careful) {
      const Words zero = (Words)(magnitude == Words{});
      subnormal |= (Words)(magnitude < normal) & ~zero;
      word &= ~zero;
      const auto gone = (Sums)(key & zero);
      zeros += (gone & low_half) + (gone >> 32);
    } else {
      least = magnitude < least ? magnitude : least;
    }
    sum += half_products((Sums)word, (Sums)key) + half_products((Sums)word >> 32, (Sums)key >> 32);
  }
  for (int i = 0; i < width; ++i)
    if (careful ? subnormal[i] != 0 : least[i] < 0x00800000u) return false;
  to.sum += sum_lanes(sum);
  to.zeros += sum_lanes(zeros);
  return true;
}

// The same of fp64.
template <bool careful>
bool add_doubles(const char* from, std::int64_t n, const std::uint32_t* keys, std::uint32_t other,
                 bool whole, Digest& to) {
  constexpr std::int64_t width = lanes<std::uint64_t>;
  typedef std::uint32_t Keys __attribute__((vector_size(vector_bytes / 2)));
  const Sums mask = Sums{} + (~std::uint64_t{0} >> 1), normal = Sums{} + (std::uint64_t{1} << 52),
             others = Sums{} + other;
  const std::uint64_t half = whole ? 0 : fraction_rest >> 1, odd = whole ? 0 : 1,
                      rest = whole ? fraction_rest : 0;
  Sums sum{}, zeros{}, bad{};
  for (std::int64_t i = 0; i < n; i += width) {
    const Sums bits = load_bytes<Sums>(from + i * 8), magnitude = bits & mask;
    Sums key =
        __builtin_convertvector(load_bytes<Keys>(reinterpret_cast<const char*>(keys + i)), Sums) ^
        others;
    Sums word =
        ((magnitude + half + (magnitude >> 29 & odd)) >> 29) - bias_apart + (bits >> 63 << 31);
    const Sums small = (Sums)((Vector<std::int64_t>)magnitude < (Vector<std::int64_t>)normal);
    if constexpr (careful) {
      const Sums zero = (Sums)(magnitude == Sums{});
      bad |= small & ~zero;
      word &= ~zero;
      zeros += key & zero;
    } else {
      bad |= small;
    }
    sum += products(word, key) + half_products(magnitude & rest, key ^ rest_key);
  }
  for (int i = 0; i < width; ++i)
    if (bad[i] != 0) return false;
  to.sum += sum_lanes(sum);
  to.zeros += sum_lanes(zeros);
  return true;
}

// See ElementKernels::digest. Most numbers are neither zero nor subnormal: a run is looked at again
// where some are.
template <class From>
void digest_as(const char* codes, std::int64_t n, const std::uint32_t* keys, std::uint32_t other,
               bool whole, Digest* to) {
  constexpr std::int64_t run = 512, size = sizeof(typename From::Code),
                         width = vector_bytes / (size < 4 ? 4 : size);
  for (std::int64_t i = 0; i < n; i += run) {
    const char* here = codes + i * size;
    const std::int64_t count = n - i < run ? n - i : run, vectors = count / width * width;
    bool added = false;
    if constexpr (size == 8) {
      added = add_doubles<false>(here, vectors, keys + i, other, whole, *to) ||
              add_doubles<true>(here, vectors, keys + i, other, whole, *to);
    } else {
      const auto words = [here](std::int64_t at) {
        if constexpr (size == 4) return load_bytes<Words>(here + at * 4);
        else {
          typedef std::uint16_t Codes __attribute__((vector_size(vector_bytes / 2)));
          return __builtin_convertvector(load_bytes<Codes>(here + at * 2), Words) << 16;
        }
      };
      added = add_words<false>(words, vectors, keys + i, other, *to) ||
              add_words<true>(words, vectors, keys + i, other, *to);
    }
    for (std::int64_t e = added ? vectors : 0; e < count; ++e)
      add_number(static_cast<double>(From::value(code_at<From>(here, e))), keys[i + e] ^ other,
                 whole, *to);
  }
}

void digest(DType dtype, const void* codes, std::int64_t n, const std::uint32_t* keys,
            std::uint32_t other, bool whole, Digest* to) {
  const char* bytes = static_cast<const char*>(codes);
  switch (dtype) {
    case DType::f64: return digest_as<FromF64>(bytes, n, keys, other, whole, to);
    case DType::f32: return digest_as<FromF32>(bytes, n, keys, other, whole, to);
    case DType::bf16: return digest_as<FromBf16>(bytes, n, keys, other, whole, to);
    case DType::f16:
    case DType::f8_e4m3:
    case DType::f8_e5m2:
    case DType::f4_e2m1: break;
  }
  float wide[stretch_length];
  if (dtype == DType::f16) decode<float>(dtype, bytes, n, 1.0F, Write::replace, wide);
  else widen_bytes(dtype, bytes, n, wide);
  digest_as<FromF32>(reinterpret_cast<const char*>(wide), n, keys, other, whole, to);
}

// Murmur3's finaliser (Appleby 2011).
inline std::uint32_t mixed(std::uint32_t x) {
  x = (x ^ x >> 16) * 0x85ebca6bu;
  x = (x ^ x >> 13) * 0xc2b2ae35u;
  return x ^ x >> 16;
}

// See ElementKernels::digest_keys.
void digest_keys(std::int64_t first, std::int64_t n, bool longer, std::uint32_t* keys) {
  const auto start = static_cast<std::uint64_t>(first);
  const std::uint32_t base =
      mixed(static_cast<std::uint32_t>(start >> 32) + (longer ? 0x9e3779b9u : 0x7f4a7c15u));
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint32_t key =
        mixed(mixed(static_cast<std::uint32_t>(start) + static_cast<std::uint32_t>(i)) ^ base);
    keys[i] = longer ? key | 1u : key & ~1u;
  }
}

}  // namespace
}  // namespace sigmascope
