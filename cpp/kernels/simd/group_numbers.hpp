// SPDX-License-Identifier: BSD-3-Clause
// Codes of one byte each become numbers, by a table and the scales and offsets of groups. Every
// operation is rounded by itself, so that all instruction sets give the same bits.
#pragma once

#include <cstdint>

#include "kernels/simd/group_kernels.hpp"
#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

// The numbers of codes, as a vector of those that follow each other, or of one.

// least + code, which is exact.
struct CountedNumbers {
  explicit CountedNumbers(const GroupRow& row) : least(row.table[0]) {}
  Vector<float> vector(const std::uint8_t* codes) const {
    const auto counts = (Vector<std::int32_t>)integers(codes);
    return __builtin_convertvector(counts, Vector<float>) + least;
  }
  float one(std::uint8_t code) const { return static_cast<float>(code) + least; }
  float least;
};

// A table of up to 16 numbers in registers.
struct ShortTable {
  static constexpr int most_bits = 4;
  explicit ShortTable(const GroupRow& row) {
    for (int k = 0; k < 1 << row.bits; ++k) table[k] = row.table[k];
  }
  Vector<float> vector(const std::uint8_t* codes) const {
#if defined(__AVX512F__)
    return _mm512_permutexvar_ps((__m512i)integers(codes), load(table));
#elif defined(__AVX2__)
    const auto places = (__m256i)integers(codes);
    const Vector<float> low = _mm256_permutevar8x32_ps(load(table), places),
                        high = _mm256_permutevar8x32_ps(load(table + 8), places);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(places, 28)));
#else
    Vector<float> numbers = {};
    for (int l = 0; l < lanes<float>; ++l) numbers[l] = table[codes[l]];
    return numbers;
#endif
  }
  float one(std::uint8_t code) const { return table[code]; }
  float table[1 << most_bits] = {};
};

struct LongTable {
  explicit LongTable(const GroupRow& row) : table(row.table) {}
  Vector<float> vector(const std::uint8_t* codes) const {
    Vector<float> numbers = {};
    for (int l = 0; l < lanes<float>; ++l) numbers[l] = table[codes[l]];
    return numbers;
  }
  float one(std::uint8_t code) const { return table[code]; }
  const float* table;
};

// What scales and offsets do, for vectors and for one number.

struct Scaled {
  static const float* offsets(const GroupRow& row) { return row.scales; }  // not used
  template <class V>
  static V number(V x, V scale, V) {
    return x * scale;
  }
};

struct Centred {
  static const float* offsets(const GroupRow& row) { return row.zeros; }
  template <class V>
  static V number(V x, V scale, V zero) {
    return (x - zero) * scale;
  }
};

struct Biased {
  static const float* offsets(const GroupRow& row) { return row.biases; }
  template <class V>
  static V number(V x, V scale, V bias) {
    return rounded(x * scale) + bias;
  }
};

// Where columns find their values.

struct OfOneGroup {
  explicit OfOneGroup(float x) : value(x), everywhere(broadcast(x)) {}
  Vector<float> vector(std::int64_t) const { return everywhere; }
  float one(std::int64_t) const { return value; }
  float value;
  Vector<float> everywhere;
};

struct OfOwnGroups {
  Vector<float> vector(std::int64_t j) const { return load(values + j); }
  float one(std::int64_t j) const { return values[j]; }
  const float* values;
};

struct OfAnyGroups {
  Vector<float> vector(std::int64_t j) const {
    Vector<float> numbers = {};
    for (int l = 0; l < lanes<float>; ++l) numbers[l] = values[groups[j + l]];
    return numbers;
  }
  float one(std::int64_t j) const { return values[groups[j]]; }
  const float* values;
  const std::int32_t* groups;
};

template <class How, class Numbers, class Values>
inline void finish(const Numbers& numbers, Values scales, Values offsets, const std::uint8_t* codes,
                   std::int64_t count, float* out) {
  std::int64_t j = 0;
  for (; j + lanes<float> <= count; j += lanes<float>)
    store(out + j, How::template number<Vector<float>>(numbers.vector(codes + j), scales.vector(j),
                                                       offsets.vector(j)));
  for (; j < count; ++j)
    out[j] = How::template number<float>(numbers.one(codes[j]), scales.one(j), offsets.one(j));
}

template <class How, class Numbers>
void finish_row(const GroupRow& row, const std::uint8_t* codes, std::int64_t count, float* out) {
  const Numbers numbers(row);
  const float *scales = row.scales, *offsets = How::offsets(row);
  if (row.groups == nullptr)
    return finish<How>(numbers, OfOwnGroups{scales}, OfOwnGroups{offsets}, codes, count, out);
  if (row.runs == nullptr)
    return finish<How>(numbers, OfAnyGroups{scales, row.groups}, OfAnyGroups{offsets, row.groups},
                       codes, count, out);
  const std::int64_t* next = row.runs;
  for (std::int64_t j = 0; j < count; ++next) {
    const bool last = next == row.runs_end || *next - row.col0 > count;
    const std::int64_t stop = last ? count : *next - row.col0, group = row.groups[j];
    finish<How>(numbers, OfOneGroup(scales[group]), OfOneGroup(offsets[group]), codes + j, stop - j,
                out + j);
    j = stop;
  }
}

template <class How>
void finish_row(const GroupRow& row, const std::uint8_t* codes, std::int64_t count, float* out) {
  if (row.counts) return finish_row<How, CountedNumbers>(row, codes, count, out);
  if (row.bits <= ShortTable::most_bits) return finish_row<How, ShortTable>(row, codes, count, out);
  finish_row<How, LongTable>(row, codes, count, out);
}

void numbers_of_codes(const GroupRow& row, const std::uint8_t* codes, std::int64_t count,
                      float* out) {
  if (row.zeros != nullptr) return finish_row<Centred>(row, codes, count, out);
  if (row.biases != nullptr) return finish_row<Biased>(row, codes, count, out);
  finish_row<Scaled>(row, codes, count, out);
}

}  // namespace
}  // namespace sigmascope
