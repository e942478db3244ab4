// SPDX-License-Identifier: BSD-3-Clause
// The peak of all cores: multiply-adds of fp32 and of fp64, bf16 dot products and tiles of bf16, on
// registers alone; and the rate at which they read an array of each size in bytes that is given,
// over and over. Prints a line for each: its name, and GFLOP/s or GB/s, the best of some rounds, 0
// for none. Compiled by peak.py for the processor.
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#ifdef __AVX512F__
using Vector = __m512;
using Doubles = __m512d;
constexpr int chains = 24;  // registers; more than latency times units
inline Doubles multiply_add(Doubles a, Doubles b, Doubles c) { return _mm512_fmadd_pd(a, b, c); }
inline Doubles all(double x) { return _mm512_set1_pd(x); }
inline Vector all(float x) { return _mm512_set1_ps(x); }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
#else
using Vector = __m256;
using Doubles = __m256d;
constexpr int chains = 12;
inline Doubles multiply_add(Doubles a, Doubles b, Doubles c) { return _mm256_fmadd_pd(a, b, c); }
inline Doubles all(double x) { return _mm256_set1_pd(x); }
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

void spin_doubles(long steps, volatile float* out) {
  Doubles sums[chains], ones = all(1.0);
  for (int c = 0; c < chains; ++c) sums[c] = all(static_cast<double>(c));
  for (long i = 0; i < steps; ++i) {
    asm volatile("" : "+v"(ones));
#pragma GCC unroll 24
    for (int c = 0; c < chains; ++c) sums[c] = multiply_add(ones, ones, sums[c]);
  }
  for (const Doubles& sum : sums) *out = *out + static_cast<float>(sum[0]);
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

// Operations per second in 1e9: the best of five rounds in which every thread runs
// work(thread, out), so many operations each.
template <class Work>
double rate(int threads, double operations, const Work& work) {
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    std::vector<float> out(16 * static_cast<std::size_t>(threads));
    std::vector<std::thread> team;
    const auto began = std::chrono::steady_clock::now();
    for (int t = 0; t < threads; ++t)
      team.emplace_back([&, t] { work(t, &out[16 * static_cast<std::size_t>(t)]); });
    for (auto& member : team) member.join();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    best = std::max(best, threads * operations / seconds / 1e9);
  }
  return best;
}

// Of spin(steps, out), with so many operations a step.
template <class Spin>
double arithmetic_rate(int threads, double operations, const Spin& spin) {
  constexpr long steps = 10'000'000;
  return rate(threads, operations * steps, [&](int, volatile float* out) { spin(steps, out); });
}

// Of an array of so many bytes, of which every thread reads a part of its own.
double reading_rate(int threads, std::size_t bytes) {
  constexpr std::size_t line = 16, lines_at_once = 8;  // numbers of a cache line; independent sums
  constexpr double bytes_of_a_round = 4e9;
  const std::size_t lines = bytes / sizeof(float) / line / static_cast<std::size_t>(threads) /
                            lines_at_once * lines_at_once;
  if (lines == 0) return 0;
  const std::size_t part = lines * line;
  const std::unique_ptr<float, decltype(&std::free)> array(
      static_cast<float*>(
          std::aligned_alloc(64, part * static_cast<std::size_t>(threads) * sizeof(float))),
      &std::free);
  std::fill_n(array.get(), part * static_cast<std::size_t>(threads), 1.0f);
  const double part_bytes = static_cast<double>(part * sizeof(float));
  const auto times = static_cast<std::size_t>(
      std::max(1.0, bytes_of_a_round / (part_bytes * static_cast<double>(threads))));
  const auto read = [&](int t, volatile float* out) {
    const float* numbers = array.get() + part * static_cast<std::size_t>(t);
    constexpr std::size_t width = sizeof(Vector) / sizeof(float);
    Vector sums[lines_at_once];
    for (Vector& sum : sums) sum = all(0.0f);
    for (std::size_t time = 0; time < times; ++time)
      for (std::size_t i = 0; i < part; i += line * lines_at_once)
#pragma GCC unroll 8
        for (std::size_t c = 0; c < lines_at_once; ++c) {
          Vector number = *reinterpret_cast<const Vector*>(numbers + i + line * c);
          if constexpr (width < line)  // two vectors a line
            number += *reinterpret_cast<const Vector*>(numbers + i + line * c + width);
          sums[c] += number;
        }
    for (const Vector& sum : sums) *out = *out + sum[0];
  };
  return rate(threads, part_bytes * static_cast<double>(times), read);
}

int main(int count, char** arguments) {
  const int threads = std::atoi(arguments[1]);
  double dots = 0, tiles = 0;
#ifdef __AVX512BF16__
  dots = arithmetic_rate(threads, 2 * flops * chains, spin<true>);
#endif
#ifdef __AMX_BF16__
  constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  if (syscall(SYS_arch_prctl, request, tile_data) == 0)
    tiles = arithmetic_rate(threads, 4.0 * 16 * 16 * 32 * 2, multiply_tiles);
#endif
  std::printf("fp32 %.0f\n", arithmetic_rate(threads, flops * chains, spin<false>));
  std::printf("fp64 %.0f\n", arithmetic_rate(threads, flops / 2 * chains, spin_doubles));
  std::printf("bf16 %.0f\ntiles %.0f\n", dots, tiles);
  for (int i = 2; i < count; ++i)
    std::printf("%s %.1f\n", arguments[i],
                reading_rate(threads, std::strtoul(arguments[i], nullptr, 10)));
}
