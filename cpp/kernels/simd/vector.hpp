// SPDX-License-Identifier: BSD-3-Clause
// The vector of this instruction set, by the compiler's vector extension: one source for SSE2,
// NEON, AVX2 and AVX-512.
#pragma once

#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace sigmascope {
namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

// `anywhere` is the same vector where it lies in memory: at any address, over any type. Values
// never have that type, which not every machine can pass to a function.
template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(vector_bytes)));
  typedef T anywhere __attribute__((vector_size(vector_bytes), aligned(sizeof(T)), may_alias));
};
template <class T>
using Vector = typename VectorOf<T>::type;
template <class T>
constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));

template <class T>
inline Vector<T> load(const T* from) {
  return *reinterpret_cast<const typename VectorOf<T>::anywhere*>(from);
}
template <class T>
inline void store(T* to, Vector<T> value) {
  *reinterpret_cast<typename VectorOf<T>::anywhere*>(to) = value;
}

// x in every lane: x - 0 is x, also for x = -0.
template <class T>
inline Vector<T> broadcast(T x) {
  return x - Vector<T>{};
}

// x, rounded before its next use: the compiler may not fuse the two.
template <class V>
inline V rounded(V x) {
#if defined(__AVX2__)
  __asm__("" : "+v"(x));
#endif
  return x;
}

// a b + c, with one rounding where the instruction set has it. This is an intrinsic, since the
// compiler fuses some chains and splits others: the bits of a sum would depend on the loop that
// made it.
#if defined(__AVX512F__)
inline Vector<float> multiply_add(Vector<float> a, Vector<float> b, Vector<float> c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline Vector<double> multiply_add(Vector<double> a, Vector<double> b, Vector<double> c) {
  return _mm512_fmadd_pd(a, b, c);
}
#elif defined(__AVX2__)
inline Vector<float> multiply_add(Vector<float> a, Vector<float> b, Vector<float> c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline Vector<double> multiply_add(Vector<double> a, Vector<double> b, Vector<double> c) {
  return _mm256_fmadd_pd(a, b, c);
}
#else
template <class V>
inline V multiply_add(V a, V b, V c) {
  return a * b + c;  // two roundings: compiled with -ffp-contract=off
}
#endif
#if defined(__AVX2__)
inline double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
#endif

// The first numbers of pairs of bf16, or the second ones, as fp32.
template <int WHICH>
inline Vector<float> widened(Vector<std::uint32_t> pairs) {
  return (Vector<float>)(WHICH == 0 ? pairs << 16 : pairs & 0xffff0000u);
}

// Lane i is lane places[i] of x and y, as if they followed each other.
template <class V, class Places>
inline V shuffled(V x, V y, Places places) {
#if defined(__clang__)
  constexpr int count = sizeof(V) / sizeof(x[0]);
  V chosen = x;
  for (int i = 0; i < count; ++i)
    chosen[i] = places[i] < count ? x[places[i]] : y[places[i] - count];
  return chosen;
#else
  return __builtin_shuffle(x, y, places);
#endif
}

// Codes that follow each other as integers. Bytes go by intrinsics or shuffles, since the compiler
// converts short vectors of them one by one.
inline Vector<std::uint32_t> integers(const std::uint16_t* codes) {
  typedef std::uint16_t Codes __attribute__((vector_size(vector_bytes / 2)));
  Codes here;
  __builtin_memcpy(&here, codes, sizeof(here));
  return __builtin_convertvector(here, Vector<std::uint32_t>);
}
inline Vector<std::uint32_t> integers(const std::uint8_t* codes) {
#if defined(__AVX512F__)
  const auto* from = reinterpret_cast<const __m128i*>(codes);
  return (Vector<std::uint32_t>)_mm512_cvtepu8_epi32(_mm_loadu_si128(from));
#elif defined(__AVX2__)
  const auto* from = reinterpret_cast<const __m128i*>(codes);
  return (Vector<std::uint32_t>)_mm256_cvtepu8_epi32(_mm_loadl_epi64(from));
#else
  Vector<std::uint32_t> four = {};
  __builtin_memcpy(&four, codes, 4);
  const auto bytes = (Vector<std::uint8_t>)four;
  const auto pairs = (Vector<std::uint16_t>)shuffled(
      bytes, Vector<std::uint8_t>{},
      Vector<std::uint8_t>{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23});
  return (Vector<std::uint32_t>)shuffled(pairs, Vector<std::uint16_t>{},
                                         Vector<std::uint16_t>{0, 8, 1, 9, 2, 10, 3, 11});
#endif
}

// bf16 numbers that follow each other as fp32.
inline Vector<float> widened(const std::uint16_t* from) {
  return (Vector<float>)(integers(from) << 16);
}

// a0 b0 + a1 b1 + c for pairs of bf16 numbers. The processor's own instruction rounds after each
// product and takes subnormal numbers for zero.
inline Vector<float> multiply_add(Vector<std::uint32_t> a, Vector<std::uint32_t> b,
                                  Vector<float> c) {
#if defined(__AVX512BF16__)
  return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
#else
  return multiply_add(widened<1>(a), widened<1>(b), multiply_add(widened<0>(a), widened<0>(b), c));
#endif
}

}  // namespace
}  // namespace sigmascope
