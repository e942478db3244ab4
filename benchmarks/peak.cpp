// SPDX-License-Identifier: BSD-3-Clause
// What two units of every core can do at most: fp32 multiply-adds and bf16 dot products on registers alone.
// Prints GFLOP/s of both, the best of some rounds. Compiled by peak.py with what the processor has.
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

constexpr int chains = 24;  // registers; more than latency times units

template <bool dots>
void spin(long steps, volatile float* out) {
  __m512 sums[chains];
  for (int c = 0; c < chains; ++c) sums[c] = _mm512_set1_ps(static_cast<float>(c));  // else they are one chain
  __m512i pairs = _mm512_set1_epi32(0x3f803f80);
  __m512 ones = _mm512_set1_ps(1.0f);
  for (long i = 0; i < steps; ++i) {
    asm volatile("" : "+v"(pairs), "+v"(ones));  // not known to be constant
#pragma GCC unroll 24
    for (int c = 0; c < chains; ++c) {
#ifdef __AVX512BF16__
      if constexpr (dots) sums[c] = _mm512_dpbf16_ps(sums[c], (__m512bh)pairs, (__m512bh)pairs);
      else
#endif
        sums[c] = _mm512_fmadd_ps(ones, ones, sums[c]);
    }
  }
  for (const __m512& sum : sums) *out = *out + _mm512_reduce_add_ps(sum);
}

template <bool dots>
double rate(int threads) {
  constexpr long steps = 10'000'000;
  constexpr double flops = 16.0 * chains * steps * (dots ? 4 : 2);
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    std::vector<float> out(16 * static_cast<std::size_t>(threads));
    std::vector<std::thread> team;
    const auto began = std::chrono::steady_clock::now();
    for (int t = 0; t < threads; ++t) team.emplace_back(spin<dots>, steps, &out[16 * static_cast<std::size_t>(t)]);
    for (auto& member : team) member.join();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    best = std::max(best, threads * flops / seconds / 1e9);
  }
  return best;
}

int main(int, char** argv) {
  const int threads = std::atoi(argv[1]);
#ifdef __AVX512BF16__
  const double dots = rate<true>(threads);
#else
  const double dots = 0;
#endif
  std::printf("%.0f %.0f\n", rate<false>(threads), dots);
}
