// SPDX-License-Identifier: BSD-3-Clause
// A tall, thin matrix in host memory, row-major. Each row is padded with zeros to whole vectors, or
// to half of one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/blocks/thread_pool.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/sizes.hpp"
#include "storage/memory.hpp"

namespace sigmascope {

inline std::int64_t chunks(std::int64_t extent, std::int64_t chunk) {
  return (extent + chunk - 1) / chunk;
}
inline std::int64_t round_up(std::int64_t n, std::int64_t unit) { return chunks(n, unit) * unit; }

// A leading dimension of whole cache lines, an odd number of them: rows a power of two apart would
// share one cache set.
template <class T>
std::int64_t spread(std::int64_t width) {
  constexpr std::int64_t line = 64 / sizeof(T);
  const std::int64_t lines = (width + line - 1) / line;
  return (lines | 1) * line;
}

template <class T>
struct Block {
  // A row is padded to a multiple of so many numbers: 64 bytes, the widest vector, or half of it
  // for a few columns. Tiles need whole vectors of fp32.
  static std::int64_t padding(std::int64_t k) {
    constexpr std::int64_t whole = 64 / sizeof(T), half = whole / 2;
    static_assert(sizeof(T) == 8 || half == dot_columns);
    return k <= half && (sizeof(T) == 8 || best_isa().tiles == nullptr) ? half : whole;
  }

  static std::int64_t padded(std::int64_t k) { return round_up(k, padding(k)); }

  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t ld = 0;
  AlignedArray<T> data;

  Block() = default;
  Block(std::int64_t m, std::int64_t k) : Block(to_fill(m, k)) {
    if (ld == cols) std::memset(static_cast<void*>(data.get()), 0, as_size(m * ld) * sizeof(T));
  }
  // A block whose numbers are not initialised; only the padding is zero.
  static Block to_fill(std::int64_t m, std::int64_t k) {
    Block block;
    block.rows = m, block.cols = k, block.ld = padded(k);
    block.data = aligned_array<T>(m * block.ld);
    if (block.ld != k)
      std::memset(static_cast<void*>(block.data.get()), 0, as_size(m * block.ld) * sizeof(T));
    return block;
  }

  T* row(std::int64_t i) { return data.get() + i * ld; }
  const T* row(std::int64_t i) const { return data.get() + i * ld; }
};

// A block as Isa::dots takes it, from adjacent rows of `width` words, eight or sixteen.
template <class Word>
struct DotOperand {
  std::int64_t half = 0;
  AlignedArray<Word> words;

  DotOperand() = default;
  DotOperand(const Word* x, std::int64_t rows, std::int64_t width, ThreadPool& pool)
      : half(chunks(rows, 16) * 16 * dot_columns),
        words(aligned_array<Word>(width / dot_columns * half)) {
    constexpr std::int64_t few = 64;
    pool.run(chunks(chunks(rows, 16), few), [&](std::int64_t part, int) {
      for (std::int64_t i0 = part * few * 16; i0 < std::min(rows, (part + 1) * few * 16); i0 += 16)
        for (std::int64_t c = 0; c < width; ++c) {
          Word* to = words.get() + c / dot_columns * half + i0 * dot_columns + c % dot_columns * 16;
          for (std::int64_t i = 0; i < 16; ++i)
            to[i] = i0 + i < rows ? x[(i0 + i) * width + c] : Word(0);
        }
    });
  }
};

}  // namespace sigmascope
