// SPDX-License-Identifier: BSD-3-Clause
// A tall, thin matrix in host memory: row-major, each row padded with zeros to whole vectors.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/isa.hpp"
#include "kernels/thread_pool.hpp"
#include "storage/memory.hpp"

namespace sigmascope {

inline std::int64_t chunks(std::int64_t extent, std::int64_t chunk) { return (extent + chunk - 1) / chunk; }

// A leading dimension of whole cache lines, an odd number of them: rows a power of two apart would share one cache set.
template <class T>
std::int64_t spread(std::int64_t width) {
  constexpr std::int64_t line = 64 / sizeof(T);
  const std::int64_t lines = (width + line - 1) / line;
  return (lines | 1) * line;
}

template <class T>
struct Block {
  // 64 bytes: the widest vector, so that a block means the same to every instruction set.
  static constexpr std::int64_t padding = 64 / sizeof(T);

  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t ld = 0;
  AlignedArray<T> data;

  Block() = default;
  Block(std::int64_t m, std::int64_t k) : Block(to_fill(m, k)) {
    if (ld == cols) std::memset(static_cast<void*>(data.get()), 0, static_cast<std::size_t>(m * ld) * sizeof(T));
  }
  // Whose columns are yet to be written; what pads them is zero.
  static Block to_fill(std::int64_t m, std::int64_t k) {
    Block block;
    block.rows = m, block.cols = k, block.ld = (k + padding - 1) / padding * padding;
    block.data = aligned_array<T>(m * block.ld);
    if (block.ld != k)
      std::memset(static_cast<void*>(block.data.get()), 0, static_cast<std::size_t>(m * block.ld) * sizeof(T));
    return block;
  }

  T* row(std::int64_t i) { return data.get() + i * ld; }
  const T* row(std::int64_t i) const { return data.get() + i * ld; }
};

// A block of dot_width columns as Isa::dots take it, from rows of words that follow each other.
template <class Word>
struct Turned {
  std::int64_t half = 0;
  AlignedArray<Word> words;

  Turned() = default;
  Turned(const Word* x, std::int64_t rows, ThreadPool& pool) : half(chunks(rows, 16) * 16 * (dot_width / 2)) {
    words = aligned_array<Word>(2 * half);
    constexpr std::int64_t few = 64;
    pool.run(chunks(chunks(rows, 16), few), [&](std::int64_t part, int) {
      for (std::int64_t i0 = part * few * 16; i0 < std::min(rows, (part + 1) * few * 16); i0 += 16)
        for (std::int64_t c = 0; c < dot_width; ++c) {
          Word* to = words.get() + c / (dot_width / 2) * half + i0 * (dot_width / 2) + c % (dot_width / 2) * 16;
          for (std::int64_t i = 0; i < 16; ++i) to[i] = i0 + i < rows ? x[(i0 + i) * dot_width + c] : Word(0);
        }
    });
  }
};

}  // namespace sigmascope
