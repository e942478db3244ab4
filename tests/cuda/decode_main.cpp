// SPDX-License-Identifier: BSD-3-Clause
// Decodes and surveys random panels on the simulated device and on the CPU, and compares all bits.
//
//   decode ORDER TIMING SEED CASES
//
// Exit status 0: all are equal.
#include "decode_main.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>
#include <vector>

#include "kernels/blocks/decode_panel.hpp"
#include "kernels/decode.hpp"
#include "made_matrices.hpp"
#include "matrix/panel.hpp"
#include "runtime/handles.hpp"
#include "simulator/settings.hpp"

namespace {

using namespace sigmascope;
using namespace sigmascope::device;

// Arrays on the device that are filled from the host.
class Uploads {
 public:
  explicit Uploads(const Stream& stream) : stream_(stream) {}

  const std::byte* add(const void* from, std::size_t bytes) {
    const PinnedArray<std::byte> staged(std::max<std::size_t>(bytes, 1));
    if (bytes > 0) std::memcpy(staged.data(), from, bytes);
    arrays_.emplace_back(std::max<std::size_t>(bytes, 1));
    check(cudaMemcpyAsync(arrays_.back().data(), staged.data(), bytes, cudaMemcpyHostToDevice,
                          stream_.handle()),
          "cudaMemcpyAsync");
    stream_.wait();
    return arrays_.back().data();
  }

 private:
  const Stream& stream_;
  std::vector<DeviceArray<std::byte>> arrays_;
};

StoredPiece stored(const Piece& piece, Uploads& uploads) {
  const Tile& tile = *piece.tile;
  const std::int64_t size = info(tile.dtype).size;
  StoredPiece made;
  made.data = uploads.add(tile.bytes.data(), tile.bytes.size()) + (piece.data - tile.bytes.data());
  made.row_stride = piece.row_stride, made.col_stride = piece.col_stride;
  made.rows = piece.rows, made.cols = piece.cols;
  made.row0 = piece.row0, made.col0 = piece.col0;
  made.dtype = tile.dtype, made.coefficient = tile.coefficient;
  made.by_columns = piece.row_stride == size && piece.col_stride != size;
  if (tile.scale) {
    const std::vector<float>& values = *tile.scale->values;
    made.scales =
        reinterpret_cast<const float*>(uploads.add(values.data(), values.size() * sizeof(float)));
    made.block_rows = tile.scale->block_rows, made.block_cols = tile.scale->block_cols;
    made.scale_row_stride = tile.scale->row_stride;
    made.scale_col_stride = tile.scale->col_stride;
    made.scale_row0 = tile.scale_row0 + piece.tile_row0 * tile.scale_row_step;
    made.scale_col0 = tile.scale_col0 + piece.tile_col0 * tile.scale_col_step;
    made.scale_row_step = tile.scale_row_step, made.scale_col_step = tile.scale_col_step;
  }
  return made;
}

template <class T>
bool same(T a, T b) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  return (std::isnan(a) && std::isnan(b)) || std::bit_cast<Bits>(a) == std::bit_cast<Bits>(b);
}

template <class T>
bool same_decoded(const Panel& panel, double factor, const Stream& stream) {
  Uploads uploads(stream);
  std::vector<StoredPiece> pieces;
  for (const Piece& piece : panel.pieces) pieces.push_back(stored(piece, uploads));
  const std::size_t count = as_size(panel.rows * panel.cols);
  const Decoding decoding{pieces, panel.covered_once, panel.rows, panel.cols, factor};
  const DeviceArray<T> made(std::max<std::size_t>(count, 1));
  const std::int64_t needed = decoding.template workspace<T>();
  std::unique_ptr<DeviceArray<double>> workspace;
  if (needed > 0) workspace = std::make_unique<DeviceArray<double>>(as_size(needed));
  const std::int64_t launches = simulator::counts().launches;
  check(decode(decoding, made.data(), workspace ? workspace->data() : nullptr, stream.handle()),
        "decode");
  const PinnedArray<T> on_host(std::max<std::size_t>(count, 1));
  check(cudaMemcpyAsync(on_host.data(), made.data(), count * sizeof(T), cudaMemcpyDeviceToHost,
                        stream.handle()),
        "cudaMemcpyAsync");
  stream.wait();
  const bool scaled = !panel.covered_once && !of_usual_size(factor) && count > 0;
  if (simulator::counts().launches - launches !=
      static_cast<std::int64_t>(pieces.size()) + (scaled ? 1 : 0)) {
    std::printf("%zu pieces, %lld launches\n", pieces.size(),
                static_cast<long long>(simulator::counts().launches - launches));
    return false;
  }
  std::vector<T> wanted(count, std::numeric_limits<T>::quiet_NaN());
  std::vector<std::byte> scratch;
  decode_panel(cpu_kernels(), panel, 0, panel.rows, 0, panel.cols, factor, wanted.data(),
               panel.cols, scratch);
  for (std::size_t e = 0; e < count; ++e)
    if (!same(on_host[e], wanted[e])) {
      std::printf("fp%zu (%zu, %zu) of %lld x %lld, %zu pieces, once %d, factor %g: %a, not %a\n",
                  8 * sizeof(T), e / as_size(panel.cols), e % as_size(panel.cols),
                  static_cast<long long>(panel.rows), static_cast<long long>(panel.cols),
                  pieces.size(), panel.covered_once, factor, static_cast<double>(on_host[e]),
                  static_cast<double>(wanted[e]));
      return false;
    }
  return true;
}

// A tile of these codes, which follow each other by rows.
Matrix of_codes(DType dtype, std::int64_t rows, std::int64_t cols,
                std::shared_ptr<std::vector<std::byte>> bytes) {
  Tile tile;
  tile.dtype = dtype, tile.rows = rows, tile.cols = cols;
  tile.row_stride = cols * info(dtype).size, tile.col_stride = info(dtype).size;
  tile.bytes = Bytes::in_memory(bytes->data(), bytes->size(), bytes);
  return {rows, cols, {tile}};
}

bool same_decoded(const Matrix& matrix, double factor, const Stream& stream) {
  const Panel panel = fetch_panel(matrix, 0, matrix.rows, 0, matrix.cols);
  return same_decoded<float>(panel, factor, stream) && same_decoded<double>(panel, factor, stream);
}

// Every code of every format of at most 16 bits.
bool all_codes(const Stream& stream) {
  for (const DTypeInfo& format : dtype_table) {
    if (format.size > 2) continue;
    const std::int64_t rows = format.size == 2 ? 256 : 1;
    auto bytes = std::make_shared<std::vector<std::byte>>(as_size(rows * 256 * format.size));
    for (std::size_t code = 0; code < as_size(rows * 256); ++code) {
      const auto word = static_cast<std::uint16_t>(code);
      std::memcpy(bytes->data() + code * as_size(format.size), &word, as_size(format.size));
    }
    if (!same_decoded(of_codes(format.dtype, rows, 256, bytes), 1.0, stream)) return false;
  }
  return true;
}

// More tiles than there are blocks of threads, by rows and by columns.
bool long_panels(const Stream& stream) {
  const std::int64_t rows = (1 << 20) + 300;
  auto bytes = std::make_shared<std::vector<std::byte>>(as_size(2 * rows));
  for (std::size_t i = 0; i < bytes->size(); ++i)
    (*bytes)[i] = static_cast<std::byte>(i % 113);  // no two tiles of a block are equal
  Matrix matrix = of_codes(DType::f8_e5m2, rows, 1, bytes);
  const auto both = [&] {
    return same_decoded<float>(fetch_panel(matrix, 0, matrix.rows, 0, 1), 3.0, stream);
  };
  if (!both()) return false;
  Tile& tile = matrix.tiles[0];
  matrix.rows = tile.rows = 32 * 4100, tile.row_stride = 1, tile.col_stride = 0;
  return both();
}

bool random_panels(std::uint64_t seed, int cases, const Stream& stream) {
  for (int number = 0; number < cases; ++number) {
    made::Random random(seed * 1000003 + static_cast<std::uint64_t>(number));
    const Matrix matrix = made::matrix(random);
    std::int64_t i0 = 0, i1 = matrix.rows, j0 = 0, j1 = matrix.cols;
    if (random.one_in(3)) i0 = random.between(0, i1), i1 = random.between(i0, i1);
    if (random.one_in(3)) j0 = random.between(0, j1), j1 = random.between(j0, j1);
    const Panel panel = fetch_panel(matrix, i0, i1, j0, j1);
    const double factor = random.among({1.0, 1.0, -2.0, 0.7, -1.1 * 0x1p100, 1.3 * 0x1p-100, 0.0});
    if (same_decoded<float>(panel, factor, stream) && same_decoded<double>(panel, factor, stream))
      continue;
    std::printf("case %d of seed %llu\n", number, static_cast<unsigned long long>(seed));
    return false;
  }
  return true;
}

}  // namespace

const Isa& cpu_kernels() { return isa_avx2; }

int main(int count, char** arguments) {
  if (count != 5) return 2;
  const auto argument = [&](int i) { return std::atoi(arguments[i]); };
  simulator::Settings settings;
  settings.order = static_cast<simulator::Order>(argument(1));
  settings.timing = static_cast<simulator::Timing>(argument(2));
  settings.seed = static_cast<std::uint64_t>(argument(3)) + 1;
  simulator::restart(settings);
  bool right = true;
  {
    const Stream stream;
    right = all_codes(stream) && random_panels(settings.seed, argument(4), stream) &&
            same_surveys(settings.seed, argument(4), stream);
    if (right && settings.order == simulator::Order::random &&
        settings.timing == simulator::Timing::random)
      right = long_panels(stream);
  }
  if (!simulator::violation().empty()) std::printf("%s\n", simulator::violation().c_str());
  return right && simulator::violation().empty() && simulator::objects_in_use() == 0 ? 0 : 1;
}
