// SPDX-License-Identifier: BSD-3-Clause
// Codes of a few bits, unpacked from little-endian words: one byte each.
#pragma once

#if defined(__SSSE3__)
#include <immintrin.h>
#endif

#include <cstdint>

namespace sigmascope {
namespace {

typedef std::uint8_t SixteenBytes __attribute__((vector_size(16)));

inline SixteenBytes sixteen_bytes(const std::uint8_t* from) {
  SixteenBytes bytes;
  __builtin_memcpy(&bytes, from, sizeof(bytes));
  return bytes;
}

template <class Word>
inline std::uint32_t word_at(const std::uint8_t* words, std::int64_t j) {
  Word word;
  __builtin_memcpy(&word, words + j * static_cast<std::int64_t>(sizeof(Word)), sizeof(Word));
  return word;
}

template <class Word>
void codes_of(const std::uint8_t* low, const std::uint8_t* high, int shift, unsigned mask,
              std::int64_t count, std::uint8_t* __restrict codes) {
  const int rest = 8 * static_cast<int>(sizeof(Word)) - shift;
  if (high == nullptr) {
    for (std::int64_t j = 0; j < count; ++j)
      codes[j] = static_cast<std::uint8_t>(word_at<Word>(low, j) >> shift & mask);
    return;
  }
  for (std::int64_t j = 0; j < count; ++j)
    codes[j] = static_cast<std::uint8_t>(
        (word_at<Word>(low, j) >> shift | word_at<Word>(high, j) << rest) & mask);
}

void codes_across(std::int64_t word, const std::uint8_t* low, const std::uint8_t* high, int shift,
                  unsigned mask, std::int64_t count, std::uint8_t* codes) {
  if (word == 4) codes_of<std::uint32_t>(low, high, shift, mask, count, codes);
  else codes_of<std::uint8_t>(low, high, shift, mask, count, codes);
}

// The halves of 16 bytes, those of one byte next to each other: the first codes of each pair in
// `even`, the others in `odd`.
inline void store_pairs(SixteenBytes even, SixteenBytes odd, std::uint8_t* codes) {
  const SixteenBytes first = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23},
                     second = {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const SixteenBytes low = shuffled(even, odd, first), high = shuffled(even, odd, second);
  __builtin_memcpy(codes, &low, sizeof(low));
  __builtin_memcpy(codes + 16, &high, sizeof(high));
}

void codes_of_halves(const std::uint8_t* bytes, int first, std::int64_t count,
                     std::uint8_t* codes) {
  const int second = 4 - first;
  std::int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const SixteenBytes both = sixteen_bytes(bytes + i), low = both & 15, high = both >> 4;
    store_pairs(first == 0 ? low : high, first == 0 ? high : low, codes + 2 * i);
  }
  for (; i < count; ++i) {
    codes[2 * i] = bytes[i] >> first & 15;
    codes[2 * i + 1] = bytes[i] >> second & 15;
  }
}

void codes_of_words(const std::uint8_t* words, const std::uint8_t* order, std::int64_t count,
                    std::uint8_t* codes) {
  std::int64_t i = 0;
#if defined(__SSSE3__)
  std::uint8_t places[16];
  for (int k = 0; k < 8; ++k) {
    places[k] = order[k];
    places[k + 8] = static_cast<std::uint8_t>(order[k] + 8);
  }
  const auto permutation = (__m128i)sixteen_bytes(places);
  for (; i + 4 <= count; i += 4) {
    const SixteenBytes both = sixteen_bytes(words + 4 * i);
    const auto low = (__m128i)(both & 15), high = (__m128i)(both >> 4);
    auto* to = reinterpret_cast<__m128i*>(codes + 8 * i);
    _mm_storeu_si128(to, _mm_shuffle_epi8(_mm_unpacklo_epi8(low, high), permutation));
    _mm_storeu_si128(to + 1, _mm_shuffle_epi8(_mm_unpackhi_epi8(low, high), permutation));
  }
#endif
  for (; i < count; ++i) {
    const std::uint32_t word = word_at<std::uint32_t>(words, i);
    for (int k = 0; k < 8; ++k)
      codes[8 * i + k] = static_cast<std::uint8_t>(word >> 4 * order[k] & 15);
  }
}

}  // namespace
}  // namespace sigmascope
