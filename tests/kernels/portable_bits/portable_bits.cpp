// SPDX-License-Identifier: BSD-3-Clause
// Runs every kernel of the scalar instruction set, and every block layout of GGML, on numbers that
// integer arithmetic makes, and prints a hash of the results of each. Processors of different
// architectures must print the same: .ci/run compares x86-64 with AArch64. All NaN count as one,
// since architectures choose other payloads.
#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <new>

#include "kernels/encodings/block_layouts.hpp"
#include "kernels/simd/isa.hpp"

namespace sigmascope {

extern const Isa isa_scalar;

namespace {

// Zeros at an address that fills whole lines of memory.
template <class T>
class Array {
 public:
  explicit Array(std::int64_t size)
      : size_(size), values_(new(line) T[static_cast<std::size_t>(size)]()) {}
  T* get() { return values_.get(); }
  const T* get() const { return values_.get(); }
  T& operator[](std::int64_t i) { return values_.get()[i]; }
  std::int64_t size() const { return size_; }

 private:
  static constexpr std::align_val_t line{64};
  struct Free {
    void operator()(T* values) const { ::operator delete[](values, line); }
  };
  std::int64_t size_;
  std::unique_ptr<T[], Free> values_;
};

// xorshift64* (Marsaglia 2003; Vigna 2016)
class Random {
 public:
  std::uint64_t bits() {
    state_ ^= state_ >> 12, state_ ^= state_ << 25, state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1du;
  }
  double number() { return static_cast<double>(static_cast<std::int64_t>(bits())) * 0x1p-63; }

 private:
  std::uint64_t state_ = 0x9e3779b97f4a7c15u;
};

Random random;

template <class T>
Array<T> numbers(std::int64_t size) {
  Array<T> x(size);
  for (std::int64_t i = 0; i < size; ++i) x[i] = static_cast<T>(random.number());
  return x;
}

// Numbers of bf16 with exponents near that of one.
std::uint16_t bf16_code() {
  const auto bits = static_cast<std::uint32_t>(random.bits() >> 32);
  return static_cast<std::uint16_t>((bits & 0x807fu) | ((120u + (bits >> 16 & 7u)) << 7));
}
Array<std::uint16_t> codes_of_bf16(std::int64_t size) {
  Array<std::uint16_t> x(size);
  for (std::int64_t i = 0; i < size; ++i) x[i] = bf16_code();
  return x;
}
Array<std::uint32_t> pairs_of_bf16(std::int64_t size) {
  Array<std::uint32_t> x(size);
  for (std::int64_t i = 0; i < size; ++i)
    x[i] = static_cast<std::uint32_t>(bf16_code()) << 16 | bf16_code();
  return x;
}

// Every byte; for packed formats codes, of which each has a byte.
Array<std::uint8_t> codes(DType dtype, std::int64_t count) {
  Array<std::uint8_t> x(count * info(dtype).size);
  const std::uint64_t mask = info(dtype).packed > 1 ? 15 : 255;
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<std::uint8_t>(random.bits() >> 56 & mask);
  return x;
}

// FNV-1a over the bits of numbers.
class Hash {
 public:
  void add(std::uint64_t bits) {
    for (int i = 0; i < 64; i += 8) value_ = (value_ ^ (bits >> i & 255u)) * 0x100000001b3u;
  }
  void add(std::int64_t x) { add(static_cast<std::uint64_t>(x)); }
  void add(std::uint32_t x) { add(std::uint64_t{x}); }
  void add(std::uint16_t x) { add(std::uint64_t{x}); }
  void add(std::uint8_t x) { add(std::uint64_t{x}); }
  void add(double x) { add(x != x ? 0x7ff8000000000000u : __builtin_bit_cast(std::uint64_t, x)); }
  template <class T>
  void add(const T* x, std::int64_t size) {
    for (std::int64_t i = 0; i < size; ++i) add(x[i]);
  }
  template <class T>
  void add(const Array<T>& x) {
    add(x.get(), x.size());
  }
  void print(const char* kernel, const char* of) const {
    std::printf("%s %s %016llx\n", kernel, of, static_cast<unsigned long long>(value_));
  }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325u;
};

template <class T>
void print(const char* kernel, const char* of, const Array<T>& result) {
  Hash hash;
  hash.add(result);
  hash.print(kernel, of);
}

void print(const char* of, const Stretch& s) {
  Hash hash;
  for (const double x :
       {s.count, s.mean, s.m2, s.m3, s.m4, s.sum_squares, s.minimum, s.maximum, s.least})
    hash.add(x);
  for (const std::int64_t count : {s.zeros, s.nans, s.infinities, s.first_nonfinite})
    hash.add(count);
  hash.print("statistics", of);
}

void print(const char* of, const ChangeSums& s) {
  Hash hash;
  for (const double x :
       {s.before2, s.after2, s.change2, s.product, s.before_units2, s.after_units2})
    hash.add(x);
  hash.add(s.units), hash.add(s.unchanged);
  hash.print("difference", of);
}

void run_elements(const Isa& isa, const DTypeInfo& format) {
  constexpr std::int64_t n = 1003, rows = 3;
  const DType dtype = format.dtype;
  const char* of = format.name.data();  // of a literal
  Array<std::uint8_t> all = codes(dtype, rows * n);
  Array<float> narrow(n);
  isa.conversions.decode_f32(dtype, all.get(), n, 0.3F, Write::replace, narrow.get());
  isa.conversions.decode_f32(dtype, all.get(), n, 0.7F, Write::add, narrow.get());
  print("decode_f32", of, narrow);
  Array<double> wide(n);
  isa.conversions.decode_f64(dtype, all.get(), n, 0.3, Write::replace, wide.get());
  print("decode_f64", of, wide);

  Array<double> columns(n);
  std::array<Stretch, rows> stretches;
  isa.elements.statistics(dtype, all.get(), n * format.size, rows, n, columns.get(),
                          stretches.data());
  for (const Stretch& stretch : stretches) print(of, stretch);
  print("columns", of, columns);
  Survey survey;
  isa.elements.survey(dtype, all.get(), n, 0, &survey);
  Hash hash;
  hash.add(survey.sum_squares), hash.add(survey.largest);
  hash.add(survey.nans), hash.add(survey.infinities), hash.add(survey.first_nonfinite);
  hash.print("survey", of);
  print(of, isa.elements.difference(dtype, all.get(), all.get() + n * format.size, n));

  Array<std::uint32_t> keys(n);
  isa.elements.digest_keys(5, n, true, keys.get());
  print("digest_keys", of, keys);
  // The digest of a NaN has its payload, which differs; only finite numbers are left.
  Array<double> values(n);
  isa.conversions.decode_f64(dtype, all.get(), n, 1.0, Write::replace, values.get());
  for (std::int64_t i = 0; i < n * format.size; ++i)
    if (const double value = values[i / format.size]; value - value != 0) all[i] = 0;
  Digest digest;
  isa.elements.digest(dtype, all.get(), n, keys.get(), 77, dtype == DType::f64, &digest);
  Hash sums;
  sums.add(digest.sum), sums.add(digest.zeros);
  sums.print("digest", of);
}

void run_products(const Isa& isa) {
  constexpr std::int64_t rows = 7, cols = 40, k = 76;
  for (const Accumulate sums : {Accumulate::sum_blocks, Accumulate::chain}) {
    const char* of = sums == Accumulate::chain ? "chain" : "blocks";
    Array<float> f32 = numbers<float>(rows * cols), bf16(rows * cols), wide(rows * cols);
    Array<double> f64 = numbers<double>(rows * cols);
    const Array<float> a = numbers<float>(rows * k), b = numbers<float>(k * cols);
    const Array<double> a64 = numbers<double>(rows * k), b64 = numbers<double>(k * cols);
    const Array<std::uint32_t> left = pairs_of_bf16(rows * k), right = pairs_of_bf16(k * cols);
    isa.product.f32(rows, cols, k, a.get(), k, 1, b.get(), cols, f32.get(), cols, sums);
    isa.product.f64(rows, cols, k, a64.get(), k, 1, b64.get(), cols, f64.get(), cols, sums);
    isa.product.bf16(rows, cols, k, left.get(), k, 1, right.get(), cols, bf16.get(), cols, sums);
    isa.product.wide(rows, cols, k, left.get(), k, 1, b.get(), cols, wide.get(), cols, sums);
    print("product.f32", of, f32), print("product.f64", of, f64);
    print("product.bf16", of, bf16), print("product.wide", of, wide);
  }
}

void run_adjoints(const Isa& isa) {
  constexpr std::int64_t rows = 30, cols = 75, width = 24, tiles = 3, stride = width * adjoint_tile;
  Array<float> f32(tiles * stride), bf16(tiles * stride), wide(tiles * stride);
  Array<double> f64(tiles * stride);
  const Array<float> p = numbers<float>(rows * cols), y = numbers<float>(rows * width);
  const Array<double> p64 = numbers<double>(rows * cols), y64 = numbers<double>(rows * width);
  const Array<std::uint16_t> half = codes_of_bf16(rows * cols);
  const Array<std::uint32_t> pairs = pairs_of_bf16(rows / 2 * width);
  const auto& adjoint = isa.adjoint;
  adjoint.f32(p.get(), cols, rows, cols, y.get(), width, width, f32.get(), stride);
  adjoint.f64(p64.get(), cols, rows, cols, y64.get(), width, width, f64.get(), stride);
  adjoint.bf16(half.get(), cols, rows, cols, pairs.get(), width, width, bf16.get(), stride);
  adjoint.wide(half.get(), cols, rows, cols, y.get(), width, width, wide.get(), stride);
  print("adjoint", "f32", f32), print("adjoint", "f64", f64);
  print("adjoint", "bf16", bf16), print("adjoint", "wide", wide);
}

void run_blocks(const Isa& isa) {
  constexpr std::int64_t n = 256, rows = 15, cols = 16;
  Array<float> from = numbers<float>(n), to = numbers<float>(n);
  isa.blocks.move_f32(from.get(), n, to.get());
  print("move", "f32", to);
  Array<double> from64 = numbers<double>(n), to64 = numbers<double>(n);
  isa.blocks.move_f64(from64.get(), n, to64.get());
  print("move", "f64", to64);

  const Array<float> x = numbers<float>(rows * cols);
  Array<std::uint16_t> rounded(rows * cols);
  isa.conversions.round_bf16(x.get(), rows * cols, 0.3F, rounded.get());
  print("round", "bf16", rounded);
  Array<std::uint32_t> pairs((rows + 1) / 2 * cols);
  isa.blocks.pack_pairs(x.get(), cols, rows, cols, 0.7F, pairs.get());
  print("pack_pairs", "bf16", pairs);

  const std::array<std::uint32_t, 6> sources = {0, 3, 14, 3, 7, 9}, targets = {2, 2, 5, 4, 2, 3};
  const Array<float> values = numbers<float>(6);
  Array<float> y = numbers<float>(4 * cols);
  isa.blocks.add_entries(6, sources.data(), targets.data(), values.get(), 0.7F, cols, x.get(), 2,
                         y.get());
  print("add_entries", "f32", y);
}

void run_gram(const Isa& isa) {
  constexpr std::int64_t rows = 300, n = 32, group = rows * cell_group;
  Array<double> x = numbers<double>(rows * n);
  for (std::int64_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(static_cast<float>(x[i]));
  Array<std::uint32_t> cells(n * rows);
  for (std::int64_t j = 0; j < n; j += cell_group)
    isa.gram.pack(Narrow::f32, cell_group, rows, x.get() + j, 1, n,
                  cells.get() + j / cell_group * group);
  print("pack", "f32", cells);
  Array<float> columns(n * rows);
  __builtin_memcpy(columns.get(), cells.get(), static_cast<std::size_t>(n * rows) * sizeof(float));
  Array<double> g(n * n);
  isa.gram.add_products(isa.gram.narrowest(x.get(), x.size()), rows,
                        {0, n, 0, n, columns.get(), columns.get()}, g.get(), n);
  print("add_products", "f32", g);
}

void run_eigenvalues(const Isa& isa) {
  constexpr std::int64_t n = 150;
  Array<double> band((n + 2 * band_width) * band_ld), v(band_width);
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = j; i <= j + band_width && i < n; ++i)
      band[j * band_ld + i - j] = random.number();
  for (std::int64_t sweep = 0; sweep < n - 2; ++sweep) {
    double tau = 0;
    std::int64_t step = 0;
    while (isa.eigenvalues.chase_bulge(band.get(), n, sweep, step, v.get(), &tau)) ++step;
  }
  Array<double> diagonal(n), squares(n);
  for (std::int64_t j = 0; j < n; ++j) {
    const double below = band[j * band_ld + 1];
    diagonal[j] = band[j * band_ld], squares[j] = below * below;
  }
  print("chase_bulge", "diagonal", diagonal), print("chase_bulge", "squares", squares);
  Array<double> x(24), counts(24);
  for (std::int64_t j = 0; j < x.size(); ++j) x[j] = static_cast<double>(j - 12);
  isa.eigenvalues.counts_below(n, diagonal.get(), squares.get(), 0x1p-1000, x.size(), x.get(),
                               counts.get());
  print("counts_below", "f64", counts);
}

void run_layouts() {
  constexpr std::int64_t count = 64;
  for (const BlockLayout& layout : block_layouts()) {
    Array<std::uint8_t> blocks(count * layout.bytes);
    for (std::int64_t i = 0; i < blocks.size(); ++i)
      blocks[i] = static_cast<std::uint8_t>(random.bits() >> 56);
    Array<float> out(count * layout.elements);
    layout.decode(blocks.get(), count, out.get());
    print("layout", layout.name.data(), out);  // of a literal
  }
}

}  // namespace
}  // namespace sigmascope

int main() {
  using namespace sigmascope;
  for (const DTypeInfo& format : dtype_table) run_elements(isa_scalar, format);
  run_products(isa_scalar);
  run_adjoints(isa_scalar);
  run_blocks(isa_scalar);
  run_gram(isa_scalar);
  run_eigenvalues(isa_scalar);
  run_layouts();
}
