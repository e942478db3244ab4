// SPDX-License-Identifier: BSD-3-Clause
// The codebooks of GGML's IQ layouts, which are data that these formats define.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace sigmascope {

class Codebook {
 public:
  // `digits` are hexadecimal, one group for each word: the indices of its levels, each in `bits`
  // bits, the first in the lowest.
  Codebook(std::string_view digits, int length, int bits,
           std::initializer_list<std::int8_t> levels);
  const std::int8_t* word(unsigned code) const { return numbers_.data() + code * length_; }

 private:
  unsigned length_;  // numbers of a word
  std::vector<std::int8_t> numbers_;
};

const Codebook& iq2_xxs_book();  // 256 words of 8
const Codebook& iq2_xs_book();   // 512 of 8
const Codebook& iq2_s_book();    // 1024 of 8
const Codebook& iq3_xxs_book();  // 256 of 4
const Codebook& iq3_s_book();    // 512 of 4
const Codebook& iq1_book();      // 2048 of 8

}  // namespace sigmascope
