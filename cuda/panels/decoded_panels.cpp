// SPDX-License-Identifier: BSD-3-Clause
#include "panels/decoded_panels.hpp"

#include <algorithm>
#include <utility>

#include "kernels/blocks/block.hpp"
#include "kernels/decode.hpp"
#include "kernels/tensor_products.hpp"
#include "panels/bf16_numbers.hpp"

namespace sigmascope::device {

namespace {

template <class T>
constexpr DType dtype_of = sizeof(T) == sizeof(float) ? DType::f32 : DType::f64;

}  // namespace

StoredPanels& DecodedPanels::panels_of(const MatrixView& view) {
  const std::int64_t height = size_.height(view.cols());
  const bool stays = view.matrix->stored_bytes() <= most_.stored;
  StoredPanels* const by_rows = view.transposed && stays && view.matrix->device() == on_host
                                    ? &panels_of({view.matrix})
                                    : nullptr;
  auto& panels = panels_[{view.matrix, view.transposed}];
  if (!panels) panels = std::make_unique<StoredPanels>(device_, view, height, stays, by_rows);
  return *panels;
}

void DecodedPanels::forget(const Matrix& matrix) {
  device_.settle();
  panels_.erase({&matrix, false}), panels_.erase({&matrix, true});
  parts_.erase(&matrix), bf16_parts_.erase(&matrix);
}

template <class T>
DecodedPanel<T> DecodedPanels::decoded(const StoredPanel& panel, double factor, Layout layout,
                                       Workspace<T>& workspace) {
  const auto at = [&](const T* numbers, std::int64_t row_step, std::int64_t col_step) {
    return DecodedPanel<T>{panel.row0, panel.rows, panel.col0, panel.cols,
                           numbers,    row_step,   col_step,   panel};
  };
  const PlainNumbers plain = factor == 1 ? plain_numbers(panel, dtype_of<T>) : PlainNumbers{};
  if (plain.numbers != nullptr &&
      (layout == Layout::as_stored || (plain.col_step == 1 && plain.row_step == panel.cols)))
    return at(reinterpret_cast<const T*>(plain.numbers), plain.row_step, plain.col_step);
  if (workspace.numbers.size() < panel.rows * panel.cols)
    workspace.numbers = device_.block<T>(panel.rows, panel.cols);
  const Decoding decoding{panel.pieces, panel.covered_once, panel.rows, panel.cols, factor};
  if (const std::int64_t wanted = decoding.template workspace<T>(); workspace.sums.size() < wanted)
    workspace.sums = device_.block<double>(wanted, 1);
  check(decode(decoding, workspace.numbers.data(), workspace.sums.data(), device_.compute.handle()),
        "decoding");
  return at(workspace.numbers.data(), panel.cols, 1);
}

template <class T>
void DecodedPanels::each(const MatrixView& view,
                         const std::function<void(const DecodedPanel<T>&)>& act, Layout layout) {
  Workspace<T> workspace;
  const bool joins = layout == Layout::as_stored && view.factor == 1;
  panels_of(view).pass(
      [&](const StoredPanel& panel) {
        act(decoded(panel, view.factor, layout, workspace));
        cpu_.report(panel.stored_bytes);
      },
      joins ? std::optional(dtype_of<T>) : std::nullopt);
}

// Memory for all numbers of a matrix in bf16; null if there is too little. They have as many parts
// as any pass will ask for.
DecodedPanels::Parts* DecodedPanels::staying_parts(const MatrixView& view, int parts) {
  const auto known = parts_.find(view.matrix);
  if (known != parts_.end())
    return known->second.factor == view.factor && known->second.count >= parts ? &known->second
                                                                               : nullptr;
  Parts staying{.codes = {},
                .factor = view.factor,
                .count = std::max(parts, bf16_parts({view.matrix, false, 1})),
                .step = round_up(view.cols(), codes_at_once),
                .rows = 0};
  const std::int64_t size = staying.count * view.rows() * staying.step;
  if (size * std::int64_t{sizeof(std::uint16_t)} > most_.parts) return nullptr;
  staying.codes = device_.block<std::uint16_t>(size, 1);
  return &parts_.emplace(view.matrix, std::move(staying)).first->second;
}

void DecodedPanels::each_in_bf16(const MatrixView& view, int parts,
                                 const std::function<void(const Bf16Panel&)>& act) {
  const std::int64_t step = round_up(view.cols(), codes_at_once);
  const auto rest_of = [&](const Parts& staying) {
    return staying.codes.data() + view.rows() * staying.step;
  };
  const auto known = parts_.find(view.matrix);
  if (known != parts_.end() && known->second.rows == view.rows() &&
      staying_parts(view, parts) != nullptr) {
    const Parts& all = known->second;
    act({0, view.rows(), view.cols(), step, all.codes.data(), parts == 2 ? rest_of(all) : nullptr});
    return cpu_.report(view.matrix->stored_bytes());
  }
  Workspace<float> workspace;
  DeviceBlock<std::uint16_t> codes;
  const auto in_bf16 = [&](const StoredPanel& panel) -> Bf16Panel {
    if (view.factor == 1 && is_aligned_bf16(panel))
      return {panel.row0,
              panel.rows,
              panel.cols,
              panel.pieces[0].row_stride / 2,
              reinterpret_cast<const std::uint16_t*>(panel.pieces[0].data),
              nullptr};
    const float* numbers = decoded(panel, view.factor, Layout::by_rows, workspace).numbers;
    const auto round = [&](std::uint16_t* to, std::uint16_t* rest) {
      check(to_bf16({numbers, panel.rows, panel.cols}, {to, rest, step}, device_.compute.handle()),
            "rounding");
    };
    // An earlier pass may have ended early, in the middle of the matrix.
    Parts* const staying = staying_parts(view, parts);
    if (staying != nullptr && panel.row0 <= staying->rows) {
      std::uint16_t* const to = staying->codes.data() + panel.row0 * step;
      std::uint16_t* const rest =
          staying->count == 2 ? rest_of(*staying) + panel.row0 * step : nullptr;
      round(to, rest);
      staying->rows = std::max(staying->rows, panel.row0 + panel.rows);
      return {panel.row0, panel.rows, panel.cols, step, to, parts == 2 ? rest : nullptr};
    }
    const std::int64_t size = panel.rows * step;
    if (codes.size() < parts * size) codes = device_.block<std::uint16_t>(parts * size, 1);
    std::uint16_t* const rest = parts == 2 ? codes.data() + size : nullptr;
    round(codes.data(), rest);
    return {panel.row0, panel.rows, panel.cols, step, codes.data(), rest};
  };
  panels_of(view).pass(
      [&](const StoredPanel& panel) {
        act(in_bf16(panel));
        cpu_.report(panel.stored_bytes);
      },
      view.factor == 1 ? std::optional(DType::bf16) : std::nullopt);
}

int DecodedPanels::bf16_parts(const MatrixView& view) {
  if (!is_power_of_two(view.factor)) return 0;
  const auto parts = bf16_parts_.find(view.matrix);
  if (parts != bf16_parts_.end()) return parts->second;
  return bf16_parts_.emplace(view.matrix, device::bf16_parts(*view.matrix)).first->second;
}

template void DecodedPanels::each(const MatrixView&,
                                  const std::function<void(const DecodedPanel<float>&)>&, Layout);
template void DecodedPanels::each(const MatrixView&,
                                  const std::function<void(const DecodedPanel<double>&)>&, Layout);

}  // namespace sigmascope::device
