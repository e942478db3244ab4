# SPDX-License-Identifier: BSD-3-Clause
"""What people read: checkpoints and scans as terminal tables (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from . import summary
from .checkpoint import Checkpoint, TensorRecord
from .rows import Row
from .scans import Scan
from .text import counted, duration, ending, printable, short, size, times, with_error

_LISTED = 20
"""Problems shown in full; the rest is counted."""

_LABELS = {
    "effective_rank": "effective rank",
    "stable_rank": "stable rank",
    "spectral_norm": "sigma_1",
    "mp_outliers": "above noise",
    "alpha": "alpha",
}


def console(*, stderr: bool = False) -> Console:
    """A console that shows texts as they are: names from files are no markup."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=False)


def show_info(out: Console, checkpoint: Checkpoint, *, every: bool = False) -> None:
    """Print what a checkpoint holds, grouped by role, or every tensor; and what is wrong with it."""
    records = checkpoint.info()
    total = sum(record["nbytes"] for record in records)
    out.print(printable(str(checkpoint.path)), soft_wrap=True)
    out.print(
        f"{counted(len(checkpoint.files), 'file')}, {counted(len(records), 'tensor')}, "
        f"{counted(len(checkpoint), 'matrix', 'matrices')} to analyse, {size(total)}"
    )
    out.print(_every_tensor(records, out.width) if every else _grouped_tensors(records))
    _list(out, "Remarks:", list(checkpoint.notes))
    _list(out, "Cannot be read:", [f"{name}: {why}" for name, why in checkpoint.unreadable.items()])


def _table(*columns: str, right: Iterable[str] = (), title: str | None = None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    table.padding = (0, 1, 0, 0)
    for column in columns:
        number = column in right
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def _every_tensor(records: Sequence[TensorRecord], width: int) -> Table:
    table = _table("tensor", "dtype", "shape", "size", "read as", right=("shape", "size"))
    for record in records:
        table.add_row(
            ending(record["name"], max(24, width - 48)),
            record["dtype"],
            times(record["shape"]),
            size(record["nbytes"]),
            record["view"] or record["status"],
        )
    table.columns[-1].no_wrap = False
    return table


def _grouped_tensors(records: Sequence[TensorRecord]) -> Table:
    several = len({record["tower"] for record in records}) > 1
    groups: dict[tuple[str, ...], list[TensorRecord]] = {}
    for record in records:
        role = f"{record['tower']} {record['role']}" if several else record["role"]
        read = "stack of matrices" if record["status"] == "stack" else record["status"]
        key = (role, read, record["dtype"], times(record["shape"]))
        groups.setdefault(key, []).append(record)
    table = _table(
        "role", "read as", "dtype", "shape", "tensors", "size", right=("shape", "tensors", "size")
    )
    for key, found in groups.items():
        table.add_row(*key, f"{len(found):,}", size(sum(record["nbytes"] for record in found)))
    return table


def show_scan(out: Console, scan: Scan) -> None:
    """Print a scan: by role, by layer, what stands out, what went wrong, and the totals."""
    rows = scan.analysed
    if rows:
        out.print(_roles(rows, out.width))
        for table in _layers(rows, out.width):
            out.print(table)
        for table in _extremes(rows, out.width):
            out.print(table)
    _problems(out, scan)
    _totals(out, scan)


def _roles(rows: Sequence[Row], width: int) -> Table:
    """One line per role; median and, where it varies, least and greatest."""
    measures = [name for name in _LABELS if any(row[name] is not None for row in rows)]
    if width < 100 and "effective_rank" in measures and "alpha" in measures:
        measures.remove("alpha")
    names = [_LABELS[name] for name in measures]
    shapes = ["shape"] if width >= 100 else []
    table = _table(
        "role", "n", *shapes, *names, right=("n", *shapes, *names), title="By role: median (range)"
    )
    for group in summary.by_role(rows):
        shape = {(row["rows"], row["columns"]) for row in group.rows}
        size_cell = [times(shape.pop()) if len(shape) == 1 else "various"] if shapes else []
        cells = [_range(summary.spread(group.rows, name)) for name in measures]
        table.add_row(group.name, str(len(group.rows)), *size_cell, *cells)
    return table


def _range(spread: summary.Spread | None) -> str:
    if spread is None:
        return "-"
    if spread.low == spread.high:
        return short(spread.median)
    return f"{short(spread.median)} ({short(spread.low)}-{short(spread.high)})"


def _layers(rows: Sequence[Row], width: int) -> list[Table]:
    """The rank by layer and role; as many tables side by side as the width asks for."""
    grid = summary.by_layer(rows)
    if len(grid.layers) < 2:
        return []
    texts = [[_cell(cell, grid.measure) for cell in line] for line in grid.cells]
    label = _LABELS[grid.measure]
    many = any(len(cell) > 1 for line in grid.cells for cell in line)
    title = f"By layer: {label}{', median where several' if many else ''}"
    widths = [
        max(len(role), *(len(line[j]) for line in texts)) + 2 for j, role in enumerate(grid.roles)
    ]
    tables: list[Table] = []
    for columns in _fitting(widths, width - 2 - max(len("layer"), *map(len, grid.layers))):
        roles = [grid.roles[j] for j in columns]
        table = _table("layer", *roles, right=("layer", *roles), title=title)
        for name, line in zip(grid.layers, texts, strict=True):
            table.add_row(name, *(line[j] for j in columns))
        tables.append(table)
    return tables


def _cell(rows: Sequence[Row], measure: str) -> str:
    if len(rows) == 1:
        return with_error(rows[0][measure], rows[0][f"{measure}_error"])
    found = summary.spread(rows, measure)
    return "" if found is None else short(found.median)


def _fitting(widths: Sequence[int], room: int) -> list[list[int]]:
    """Deal columns into tables that fit; a column wider than the room gets a table of its own."""
    tables: list[list[int]] = [[]]
    for j, width in enumerate(widths):
        if tables[-1] and sum(widths[i] for i in tables[-1]) + width > room:
            tables.append([])
        tables[-1].append(j)
    return tables


def _extremes(rows: Sequence[Row], width: int) -> list[Table]:
    """The matrices of lowest and highest rank, each number with its error."""
    measure = summary.rank_measure(rows)
    low, high = summary.extremes(rows)
    shown = [name for name in ("effective_rank", "stable_rank", "spectral_norm")]
    shown = [name for name in shown if any(row[name] is not None for row in low + high)]
    names = [_LABELS[name] for name in shown]
    tables: list[Table] = []
    for found, which in ((low, "Lowest"), (high, "Highest")):
        title = f"{which} {_LABELS[measure]}, as a share of the full rank"
        table = _table("matrix", "share", *names, right=("share", *names), title=title)
        cells = [[with_error(row[m], row[f"{m}_error"]) for m in shown] for row in found]
        taken = 8 + sum(
            max([len(name), *(len(line[j]) for line in cells)]) + 2 for j, name in enumerate(names)
        )
        for row, line in zip(found, cells, strict=True):
            share = f"{100 * summary.fraction(row, measure):.1f} %"
            table.add_row(ending(row["name"], max(16, width - taken)), share, *line)
        tables += [table] if found else []
    return tables


def _problems(out: Console, scan: Scan) -> None:
    def reasons(rows: Iterable[Row]) -> list[str]:
        return [f"{row['name']}: {row['reason']}" for row in rows]

    _list(out, "Failed:", reasons(scan.failed))
    _list(out, "Cannot be read:", reasons(scan.unreadable))
    _list(
        out,
        "Did not converge (the errors hold all the same):",
        [f"{row['name']}: {row['passes']} passes" for row in scan.unconverged],
    )
    _list(out, "Remarks:", list(scan.notes))


def _list(out: Console, title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    out.print(title, style="bold")
    for line in lines[:_LISTED]:
        out.print(f"  {printable(line)}", soft_wrap=True)
    if len(lines) > _LISTED:
        out.print(f"  and {len(lines) - _LISTED:,} more; --out keeps them all")
    out.print()


def _totals(out: Console, scan: Scan) -> None:
    rows = scan.analysed
    options = scan.options
    parts = [
        f"{counted(len(rows), 'matrix', 'matrices')} analysed, "
        f"{size(scan.bytes)} in {duration(scan.seconds)}"
    ]
    parts += [f"{len(scan.failed):,} failed"] if scan.failed else []
    parts += [f"{len(scan.unreadable):,} cannot be read"] if scan.unreadable else []
    excluded = sum(row["status"] == "excluded" for row in scan.rows)
    parts += [f"{excluded:,} excluded"] if excluded else []
    left = summary.without_spectrum(scan.rows)
    if left:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in left.most_common())
        parts.append(f"{left.total():,} without a spectrum ({kinds})")
    if not scan.complete:
        parts.append(f"interrupted after {len(scan.rows):,} of {scan.expected:,} tensors")
    out.print("; ".join(parts) + ".")
    out.print(
        f"Effort {options['effort']}, k = {options['k']}, tol = {options['tol']:g}, "
        f"seed {options['seed']}. Where no ± is given, the error is below the last digit shown."
    )
    worst = summary.least_certain(rows, ("effective_rank", "stable_rank", "spectral_norm"))
    if worst is not None:
        row, measure = worst
        value, error = row[measure], row[f"{measure}_error"]
        if error > 1e-4 * abs(value):
            out.print(
                f"Least certain: {_LABELS[measure]} of {printable(row['name'])}, "
                f"{with_error(value, error)}."
            )
