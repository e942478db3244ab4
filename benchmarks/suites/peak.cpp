// SPDX-License-Identifier: BSD-3-Clause
// The peak of all cores: fp32 multiply-adds, bf16 dot products and tiles of bf16, on registers
// alone. Prints GFLOP/s of each, the best of some rounds, 0 for none. Compiled by peak.py for the
// processor.
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#ifdef __AVX512F__
using Vector = __m512;
constexpr int chains = 24;  // registers; more than latency times units
inline Vector all(float x) { return _mm512_set1_ps(x); }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
#else
using Vector = __m256;
constexpr int chains = 12;
inline Vector all(float x) { return _mm256_set1_ps(x); }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
#endif
constexpr double flops = 2.0 * sizeof(Vector) / sizeof(float);  // of a multiply-add

template <bool dots>
void spin(long steps, volatile float* out) {
  Vector sums[chains];
  for (int c = 0; c < chains; ++c) sums[c] = all(static_cast<float>(c));  // else they are one chain
#ifdef __AVX512BF16__
  __m512i pairs = _mm512_set1_epi32(0x3f803f80);
#endif
  Vector ones = all(1.0f);
  for (long i = 0; i < steps; ++i) {
    asm volatile("" : "+v"(ones));  // not known to be constant
#ifdef __AVX512BF16__
    asm volatile("" : "+v"(pairs));
#endif
#pragma GCC unroll 24
    for (int c = 0; c < chains; ++c) {
#ifdef __AVX512BF16__
      if constexpr (dots) sums[c] = _mm512_dpbf16_ps(sums[c], (__m512bh)pairs, (__m512bh)pairs);
      else
#endif
        sums[c] = multiply_add(ones, ones, sums[c]);
    }
  }
  for (const Vector& sum : sums) *out = *out + sum[0];
}

#ifdef __AMX_BF16__
void multiply_tiles(long steps, volatile float*) {
  struct {
    unsigned char palette = 1, reserved[15] = {};
    unsigned short row_bytes[16] = {64, 64, 64, 64, 64, 64};
    unsigned char rows[16] = {16, 16, 16, 16, 16, 16};
  } config;
  _tile_loadconfig(&config);
  for (long i = 0; i < steps; ++i) {  // on zeros, which take as long
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_release();
}
#endif

// Of spin(steps, out) in every thread, with so many operations a step.
template <class Spin>
double rate(int threads, double operations, const Spin& spin) {
  constexpr long steps = 10'000'000;
  const double all_operations = operations * steps;
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    std::vector<float> out(16 * static_cast<std::size_t>(threads));
    std::vector<std::thread> team;
    const auto began = std::chrono::steady_clock::now();
    for (int t = 0; t < threads; ++t)
      team.emplace_back(spin, steps, &out[16 * static_cast<std::size_t>(t)]);
    for (auto& member : team) member.join();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    best = std::max(best, threads * all_operations / seconds / 1e9);
  }
  return best;
}

int main(int, char** argv) {
  const int threads = std::atoi(argv[1]);
  double dots = 0, tiles = 0;
#ifdef __AVX512BF16__
  dots = rate(threads, 2 * flops * chains, spin<true>);
#endif
#ifdef __AMX_BF16__
  constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  if (syscall(SYS_arch_prctl, request, tile_data) == 0)
    tiles = rate(threads, 4.0 * 16 * 16 * 32 * 2, multiply_tiles);
#endif
  std::printf("%.0f %.0f %.0f\n", rate(threads, flops * chains, spin<false>), dots, tiles);
}
