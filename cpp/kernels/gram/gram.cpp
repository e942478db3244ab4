// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/gram/gram.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/decode_panel.hpp"
#include "kernels/blocks/lapack.hpp"
#include "kernels/gram/gram_tiles.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t row_chunk = 48;
// Panels whose products are added up before their sum is added to the total, of a matrix of more
// panels than these.
constexpr std::int64_t panels_together = 64;
// Above this order a second square would take more memory (512 MiB) than its digits are worth.
constexpr std::int64_t largest_grouped = 8192;

bool adds_groups(std::int64_t rows, std::int64_t n) {
  return rows > panels_together * gram_rows && n <= largest_grouped;
}
// Below this order fp64 costs little, and errors average out over too few columns.
constexpr std::int64_t fast_order = 512;
constexpr double bf16_rounding = 2.5e-8, f32_rounding = 5e-8;  // rms, with a margin
// Fewest columns that may share the norm: (sum g_ii)^2 / sum g_ii^2.
constexpr double least_columns = 64;
constexpr double parallel = 0.999;  // cosine

std::int64_t to_order(std::int64_t n) {
  if (n > 46340)
    throw std::invalid_argument("a Gram matrix of order " + std::to_string(n) +
                                " exceeds LAPACK's 32-bit indices (46340)");
  return n;
}

void add_in_f64(ThreadPool& pool, const Decoded& panel, Small& g) {
  const bool along = panel.col_step != 1;  // the elements of a column are adjacent
  const int k = static_cast<int>(panel.rows),
            ld = static_cast<int>(along ? panel.col_step : panel.row_step),
            ldg = static_cast<int>(g.rows);
  each_tile(pool, g.rows, [&](const GramTile& t, int) {
    const int rows = static_cast<int>(t.rows), cols = static_cast<int>(t.cols);
    const double one = 1.0;
    scipy_dgemm_(along ? "T" : "N", along ? "N" : "T", &rows, &cols, &k, &one,
                 panel.x + t.i * panel.col_step, &ld, panel.x + t.j * panel.col_step, &ld, &one,
                 &g(t.i, t.j), &ldg);
  });
}

void add_in_cells(const Isa& isa, ThreadPool& pool, Narrow narrow, const Decoded& panel,
                  std::uint32_t* cells, Small& g) {
  const std::int64_t n = g.rows, size = cell_steps(narrow, panel.rows) * cell_group;
  pool.run(chunks(n, cell_group), [&](std::int64_t group, int) {
    const std::int64_t j = group * cell_group;
    isa.gram.pack(narrow, std::min(cell_group, n - j), panel.rows, panel.x + j * panel.col_step,
                  panel.col_step, panel.row_step, cells + group * size);
  });
  const auto* columns = reinterpret_cast<const float*>(cells);
  each_tile(pool, n, [&](const GramTile& t, int) {
    isa.gram.add_products(narrow, panel.rows,
                          {t.i, t.rows, t.j, t.cols, columns + t.i / cell_group * size,
                           columns + t.j / cell_group * size},
                          &g(t.i, t.j), n);
  });
}

// Sums of squares of lines of numbers: line l at x + l*line_step, its elements `step` apart. Either
// step is 1.
void add_squares(std::int64_t lines, std::int64_t length, const double* x, std::int64_t line_step,
                 std::int64_t step, double* sums) {
  if (step == 1)
    for (std::int64_t l = 0; l < lines; ++l)
      for (std::int64_t e = 0; e < length; ++e)
        sums[l] += x[l * line_step + e] * x[l * line_step + e];
  else
    for (std::int64_t e = 0; e < length; ++e)
      for (std::int64_t l = 0; l < lines; ++l) sums[l] += x[l + e * step] * x[l + e * step];
}

// Sums of squares that fast products need: of every column, which are the diagonal, and of every
// row.
struct Squares {
  std::vector<double> columns, rows;

  void add(ThreadPool& pool, const Decoded& panel) {
    constexpr std::int64_t part = 64;
    const std::int64_t n = static_cast<std::int64_t>(columns.size());
    const std::size_t before = rows.size();
    rows.resize(before + as_size(panel.rows), 0.0);
    pool.run(chunks(n, part), [&](std::int64_t index, int) {
      const std::int64_t j = index * part;
      add_squares(std::min(part, n - j), panel.rows, panel.x + j * panel.col_step, panel.col_step,
                  panel.row_step, columns.data() + j);
    });
    pool.run(chunks(panel.rows, part), [&](std::int64_t index, int) {
      const std::int64_t k = index * part;
      add_squares(std::min(part, panel.rows - k), n, panel.x + k * panel.row_step, panel.row_step,
                  panel.col_step, rows.data() + before + k);
    });
  }

  // sum of r_k^2; rows of equal norm as one.
  double rows_squared() {
    std::sort(rows.begin(), rows.end());
    double all = 0, same = 0;
    for (std::size_t k = 0; k < rows.size(); ++k) {
      same += rows[k];
      if (k + 1 < rows.size() && rows[k + 1] == rows[k]) continue;
      all += same * same;
      same = 0;
    }
    return all;
  }
};

// Squares of the entries below the diagonal, in the order of columns, and whether two columns are
// nearly parallel.
struct Cosines {
  double squares = 0;
  bool parallel = false;
};

Cosines cosines(ThreadPool& pool, const Small& g) {
  const std::int64_t n = g.rows;
  std::vector<Cosines> of_column(as_size(n));
  pool.run(n, [&](std::int64_t j, int) {
    Cosines& own = of_column[as_size(j)];
    const double least = parallel * parallel * g(j, j);
    int large = 0;
    for (std::int64_t i = j + 1; i < n; ++i) {
      const double square = g(i, j) * g(i, j);
      own.squares += square;
      large |= square > least * g(i, i) ? 1 : 0;
    }
    own.parallel = large != 0;
  });
  Cosines all;
  for (const Cosines& own : of_column) {
    all.squares += own.squares;
    all.parallel = all.parallel || own.parallel;
  }
  return all;
}

// A lower bound on the largest eigenvalue: some steps of power iteration from the heaviest column.
double largest_eigenvalue(const Small& g) {
  const int n = static_cast<int>(g.rows), stride = 1;
  std::int64_t heaviest = 0;
  for (std::int64_t j = 1; j < n; ++j)
    if (g(j, j) > g(heaviest, heaviest)) heaviest = j;
  std::vector<double> x(as_size(n), 0.0), y = x;
  x[as_size(heaviest)] = 1;
  double quotient = 0;
  for (int step = 0; step < 4; ++step) {
    const double one = 1, zero = 0;
    scipy_dsymv_("L", &n, &one, g.data(), &n, x.data(), &stride, &zero, y.data(), &stride);
    double xy = 0, xx = 0, yy = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      xy += x[i] * y[i];
      xx += x[i] * x[i];
      yy += y[i] * y[i];
    }
    if (yy == 0) break;
    quotient = xy / xx;
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = y[i] / std::sqrt(yy);
  }
  return quotient;
}

// Sets the exact diagonal and the errors: see gram.hpp. The reduction of g to a band rounds a
// vector of the norms of its rows for each of n eliminated columns: together about 3/2 u K^1/2
// ||g||_F.
void finish(ThreadPool& pool, Squares& sums, double u, Gram& gram) {
  Small& g = gram.values;
  const std::int64_t n = g.rows;
  double trace = 0, squares = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    const double value = g(j, j) = sums.columns[as_size(j)];
    trace += value;
    squares += value * value;
    gram.heaviest = std::max(gram.heaviest, value);
  }
  if (trace == 0) return;
  const Cosines below = cosines(pool, g);
  constexpr double k = cell_rows;
  const double cosine_square = 2 * below.squares / (trace * trace);
  const double columns = trace * trace / squares;
  gram.error = u * std::sqrt(k * sums.rows_squared() * (1 + 2 * k / 3 * cosine_square)) / columns;
  gram.reduction_error =
      1.5 * f32_rounding * std::sqrt(k * (2 * below.squares + squares)) / static_cast<double>(n);
  gram.typical = trace / columns;
  gram.largest = largest_eigenvalue(g);
  gram.doubtful = below.parallel || columns < least_columns;
}

// total += group; group = 0
void move_sums(ThreadPool& pool, Small& group, Small& total) {
  pool.run(group.cols, [&](std::int64_t j, int) {
    for (std::int64_t i = j; i < group.rows; ++i) total(i, j) += group(i, j);
    std::fill_n(group.data() + j * group.rows, group.rows, 0.0);
  });
}

// All of a panel in fp64, row-major. Returns the narrowest format that holds it, or fp64 if the
// products are to be full.
Narrow decode_all(Cpu& cpu, const Panel& panel, double factor, GramProducts products, double* out,
                  std::int64_t ld) {
  const bool fast = products == GramProducts::fast;
  std::vector<std::vector<std::byte>> scratch(as_size(cpu.pool.threads()));
  std::vector<Narrow> widest(as_size(chunks(panel.rows, row_chunk)), Narrow::bf16);
  cpu.pool.run(chunks(panel.rows, row_chunk), [&](std::int64_t chunk, int worker) {
    const std::int64_t i = chunk * row_chunk, end = std::min(i + row_chunk, panel.rows);
    decode_panel(cpu.isa, panel, i, end, 0, panel.cols, factor, out + i * ld, ld,
                 scratch[as_size(worker)]);
    Narrow& own = widest[as_size(chunk)];
    for (std::int64_t row = i; fast && row < end; ++row)
      own = std::max(own, cpu.isa.gram.narrowest(out + row * ld, panel.cols));
  });
  return fast && !widest.empty() ? *std::max_element(widest.begin(), widest.end()) : Narrow::f64;
}

}  // namespace

Gram gram_matrix(Cpu& cpu, const MatrixView& a, GramProducts products) {
  const std::int64_t n = to_order(a.cols()), ld = a.transposed ? gram_rows : n;
  if (n < fast_order) products = GramProducts::full;
  const bool fast = products == GramProducts::fast;
  const std::int64_t cell_count =
      fast && !cpu.isa.tiles ? gram_rows * chunks(n, 2 * cell_group) * 2 * cell_group : 0;
  auto decoded = aligned_array<double>(gram_rows * n);
  auto cells = aligned_array<std::uint32_t>(cell_count);
  std::fill_n(cells.get(), cell_count, 0U);
  std::optional<GramTiles> tiles;
  if (fast && cpu.isa.tiles) tiles.emplace(n);
  Gram result{Small(n, n)};
  Small group = adds_groups(a.rows(), n) ? Small(n, n) : Small();
  Small& sum = group.rows > 0 ? group : result.values;
  Squares squares{std::vector<double>(as_size(n)), {}};
  Narrow widest = fast ? Narrow::bf16 : Narrow::f64;
  PanelStream panels(a, gram_rows);
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next([&] { cpu.report(0); });
    const Narrow narrow = decode_all(cpu, panel, a.factor, products, decoded.get(), ld);
    const Decoded x{decoded.get(), a.transposed ? panel.cols : panel.rows, a.transposed ? 1 : ld,
                    a.transposed ? ld : 1};
    if (narrow == Narrow::f64) add_in_f64(cpu.pool, x, sum);
    else if (tiles) add_in_tiles(cpu.isa, cpu.pool, narrow, x, *tiles, sum);
    else add_in_cells(cpu.isa, cpu.pool, narrow, x, cells.get(), sum);
    if (group.rows > 0 && ((index + 1) % panels_together == 0 || index + 1 == panels.count()))
      move_sums(cpu.pool, group, result.values);
    if (fast) squares.add(cpu.pool, x);
    widest = std::max(widest, narrow);
    cpu.report(panel.stored_bytes());
  }
  if (fast)
    finish(cpu.pool, squares, widest == Narrow::bf16 ? bf16_rounding : f32_rounding, result);
  result.precision = widest == Narrow::bf16  ? "bfloat16"
                     : widest == Narrow::f32 ? "float32"
                                             : "float64";
  return result;
}

std::int64_t gram_pass_bytes(const PassLayout& layout, GramProducts products) {
  constexpr std::int64_t scratch = std::int64_t{2} << 20;  // of each thread: decoding, BLAS
  const std::int64_t n = layout.shorter(), m = layout.longer();
  const std::int64_t panel = 8 * gram_rows * n + layout.stored_panels(gram_rows, n, m);
  std::int64_t operands = 0;
  if (products == GramProducts::fast) {
    const std::int64_t width = best_isa().tiles ? 4 * tile_parts : 4;
    operands = width * gram_rows * (n + 2 * cell_group) + 3 * 8 * m;  // sums of squares, sorted
  }
  const std::int64_t group = adds_groups(m, n) ? 8 * n * n : 0;
  return panel + operands + group + scratch * layout.threads;
}

std::int64_t gram_additions(std::int64_t rows, std::int64_t n) {
  const std::int64_t panels = chunks(rows, gram_rows);
  return adds_groups(rows, n) ? panels_together + chunks(panels, panels_together) : panels;
}

}  // namespace sigmascope
