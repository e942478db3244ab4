# SPDX-License-Identifier: BSD-3-Clause
"""Terminal output: numbers with their errors, tables that fit, summaries, progress."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.changed import written
from tests.support.checkpoints import Stored, of_array, opened, write_file
from tests.support.made_rows import comparison_rows, scan_rows
from tests.support.screens import screen, shown

import sigmascope as ss
from sigmascope import report
from sigmascope._running.progress import Kind, ScanEvent
from sigmascope._words.text import duration, ending, printable, short, size, with_error
from sigmascope.report import summary
from sigmascope.report.progress import LineProgress, LiveProgress, ProgressEstimate
from sigmascope.report.tables import UNLIMITED, by_reason, console, show_table
from sigmascope.results import Scan

EVIL = "[red]evil\x1b[31m[/red]"
"""A name that is markup, and that a terminal would obey."""


def model(folder: Path, layers: int = 3, experts: int = 0) -> Path:
    """A small model; one tensor has a NaN and a name to fear, one cannot be read."""
    rng = np.random.default_rng(0)

    def normal(name: str, *shape: int) -> Stored:
        return of_array(name, "F32", rng.standard_normal(shape).astype(np.float32))

    tensors = [normal("model.embed_tokens.weight", 40, 12)]
    for i in range(layers):
        at = f"model.layers.{i}"
        tensors += [normal(f"{at}.self_attn.{x}_proj.weight", 12, 12) for x in "qkvo"]
        tensors += [normal(f"{at}.mlp.{x}_proj.weight", 20, 12) for x in ("gate", "up")]
        tensors += [
            normal(f"{at}.mlp.experts.{e}.down_proj.weight", 12, 20) for e in range(experts)
        ]
        tensors.append(normal(f"{at}.input_layernorm.weight", 12))
    bad = np.ones((4, 4), np.float32)
    bad[1, 2] = np.nan
    tensors += [of_array(EVIL, "F32", bad), Stored("codes", "F4", (4, 4))]
    tensors.append(normal("small", 4, 4))
    return write_file(folder / "model.safetensors", *tensors)


# ------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (312.4321, 0.8, "312.4 ± 0.8"),
        (312.4321, 23.0, "312 ± 23"),
        (260.8387, 2e-9, "260.8"),
        (63.0, 2.0, "63 ± 2"),
        (63.0, 0.0, "63"),
        (0.0, 0.0, "0"),
        (0.0, 0.001, "0.0000 ± 0.0010"),
        (99.99, 0.15, "99.99 ± 0.15"),
        (2e-6, 1e-8, "(2.000 ± 0.010)e-6"),
        (2.5e-6, 0.0, "2.500e-6"),
        (1234567.0, 3.0, "1.235e6"),
        (None, None, "-"),
    ],
)
def test_values_with_errors(value: float | None, error: float | None, text: str) -> None:
    assert with_error(value, error) == text


@given(st.floats(1e-30, 1e30), st.floats(1e-9, 1.0))
def test_what_is_shown_is_within_the_error(value: float, relative: float) -> None:
    """Half a unit of the last digit shown is at most half the error, or under 1e-3 of the value."""
    text = with_error(value, value * relative)
    mantissa, _, power = text.partition("e")
    shown_value = float(mantissa.strip("()").split(" ± ")[0]) * 10.0 ** int(power or 0)
    assert abs(shown_value - value) <= max(0.51 * value * relative, 1e-3 * value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0"), (3.0, "3"), (2.5, "2.50"), (1711.6, "1712"), (4e-5, "4.00e-5")],
)
def test_short(value: float | None, text: str) -> None:
    assert short(value) == text


def test_sizes_and_times() -> None:
    assert [size(n) for n in (12, 1536, 90_868_376, 999_600, 5e12)] == [
        "12 B",
        "1.54 kB",
        "90.9 MB",
        "1 MB",
        "5 TB",
    ]
    assert [duration(s) for s in (0, 0.0123, 3.21, 33, 59.7, 200, 7500)] == [
        "0 s",
        "0.012 s",
        "3.2 s",
        "33 s",
        "1 min 00 s",
        "3 min 20 s",
        "2 h 05 min",
    ]


def test_names_from_files_are_made_harmless() -> None:
    assert printable("a\x1b[31mb\nc") == "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}c"
    assert ending("abcdefgh", 5) == "…efgh"
    assert ending("abc", 5) == "abc"


# ------------------------------------------------------------------------------------- tables


@pytest.fixture(scope="module", params=["top", "exact"])
def scanned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """A scan of a model with experts, with the largest values or with all."""
    folder = tmp_path_factory.mktemp(request.param)
    return ss.scan(model(folder, experts=3), effort=request.param, k=3)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_report_fits_its_width_and_tells_all(scanned: Scan, width: int) -> None:
    out = screen(width)
    report.show_scan(out, scanned)
    text = shown(out)
    tables = text.partition("Failed:")[0].splitlines()[1:]
    assert max(map(len, tables)) <= width
    assert "\x1b" not in text
    flat = " ".join(text.split())
    for part in (
        "By role",
        "By layer",
        "Lowest",
        "Highest",
        "median and count where there are several",
    ):
        assert part in flat
    assert "[red]evil\N{REPLACEMENT CHARACTER}[31m[/red]: the matrix holds 1 NaN" in flat
    assert "codes: dtype F4 is not decoded" in flat
    assert "29 matrices analysed" in flat
    assert "3 vectors" in flat


@pytest.mark.usefixtures("density_of_small_matrices")
def test_errors_are_shown(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = [
        of_array(f"h.{i}.mlp.up_proj.weight", "F32", rng.standard_normal((640, 600), np.float32))
        for i in range(2)
    ]
    scan = ss.scan(opened(tmp_path, *tensors), effort="density", k=1, tol=0.1)
    out = screen()
    report.show_scan(out, scan)
    assert "±" in shown(out)
    assert "Least certain:" in shown(out)


def test_changed_vectors_are_listed_from_the_largest_change(tmp_path: Path) -> None:
    """First those that were zero, whose change has no relative size."""
    vectors = {f"h.{i}.norm.weight": np.ones(8) for i in range(13)}
    vectors["h.7.norm.weight"] = np.zeros(8)
    changed = {name: v + 0.25 * (i + 1) for i, (name, v) in enumerate(vectors.items())}
    models = [written(tmp_path / n, v, "F32") for n, v in (("a", vectors), ("b", changed))]
    out = screen(160)
    report.show_comparison(out, ss.compare(*models))
    title = "Changed, without a spectrum: 13 of 13, the 12 largest"
    lines = shown(out).split(f"{title}\n")[1].split("\n\n")[0].splitlines()[2:]
    order = [7, *(i for i in range(12, -1, -1) if i != 7)]
    assert [line.split()[0] for line in lines] == [f"h.{i}.norm.weight" for i in order[:12]]


def test_info_groups_or_lists(tmp_path: Path) -> None:
    checkpoint = ss.open_checkpoint(model(tmp_path))
    brief, full = screen(), screen(120)
    report.show_info(brief, checkpoint)
    report.show_info(full, checkpoint, every=True)
    for text in (shown(brief), shown(full)):
        assert "codes: dtype F4 is not decoded" in text
        assert "\x1b" not in text
    assert "Without a spectrum: 3 vectors" in shown(brief)
    assert max(map(len, shown(brief).splitlines()[1:])) <= 80
    assert all(printable(record["name"]) in shown(full) for record in checkpoint.info())


def test_problems_of_one_reason_are_one_line(tmp_path: Path) -> None:
    tensors = [Stored(f"codes.{i}", "F4", (4, 4)) for i in range(30)]
    scan = ss.scan(opened(tmp_path, *tensors))
    for out in (screen(), screen(UNLIMITED)):
        report.show_scan(out, scan)
        assert "  codes.{0 to 29}: dtype F4 is not decoded" in shown(out).splitlines()


def test_a_reason_stands_before_many_names_and_the_range_of_their_changes() -> None:
    names = [f"h.{i}.{x}.bias" for i in range(24) for x in ("key", "query", "LayerNorm")]
    more = [f"encoder.part_{letter}.bias" for letter in "abcdefgh"]
    more += [f"pooler.{i}.bias" for i in range(4)]  # one line
    sizes = {name: 0.01 * (i + 1) for i, name in enumerate(names)}
    for out in (screen(), screen(UNLIMITED)):
        by_reason(out, "Left:", [(name, "not a matrix") for name in (*names, *more)], "", sizes)
        lines = shown(out).splitlines()
        assert lines[:3] == [
            "Left:",
            "  84 tensors (|dW| 0.0100 to 0.720): not a matrix",
            "    h.{0 to 23}: key.bias, query.bias, LayerNorm.bias",
        ]
        assert ("    and 7 more" in lines) == (out.width == 80)
        assert ("    encoder.part_h.bias" in lines) == (out.width > 80)


def test_many_problems_are_counted() -> None:
    brief, full = screen(), screen(UNLIMITED)
    for out in (brief, full):
        by_reason(out, "Failed:", [(f"codes.{i}", f"{i} NaN") for i in range(30)])
    assert "codes.19:" in shown(brief)
    assert "codes.20:" not in shown(brief)
    assert "and 10 more" in shown(brief)
    assert all(f"codes.{i}: {i} NaN" in shown(full) for i in range(30))


def test_columns_that_do_not_fit_follow_below() -> None:
    out = screen(30)
    show_table(
        out, "", ["name", "first", "second", "third"], [["x" * 40, "1" * 5, "2" * 6, "3" * 9]]
    )
    tables = [block.split() for block in shown(out).strip().split("\n\n")]
    assert [(block[1], block[-1]) for block in tables] == [
        ("first", "1" * 5),
        ("second", "2" * 6),
        ("third", "3" * 9),
    ]
    assert max(map(len, shown(out).splitlines())) <= 30


def test_nothing_is_cut_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    lines = [["x" * 300, *("1" * 50 for _ in range(9))]]
    out = console()
    show_table(out, "", ["name", *map(str, range(9))], lines)
    assert isinstance(sys.stdout, io.StringIO)
    assert sys.stdout.getvalue().splitlines()[2].split() == lines[0]
    monkeypatch.setenv("COLUMNS", "70")
    assert console().width == 70


# ---------------------------------------------------------------------------------- summaries


def row(name: str, layer: int | None, rank: float | None, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "layer": layer,
        "role": "up",
        "tower": "text",
        "rows": 10,
        "columns": 20,
        "effective_rank": rank,
        "effective_rank_error": 0.1,
        "stable_rank": 2.0,
        "stable_rank_error": 0.0,
        **more,
    }


def test_layers_share_lines_when_there_are_many() -> None:
    rows = [row(f"{i}", i, float(i + 1)) for i in range(60)]
    grid = summary.by_layer([*rows, row("x", None, 1.0)], most=24)
    assert len(grid.layers) == 20
    assert (grid.layers[0], grid.layers[-1]) == ("0-2", "57-59")
    assert [len(cell) for line in grid.cells for cell in line] == [3] * 20


def test_groups_carry_the_tower_where_there_are_several() -> None:
    rows = [row("a", 0, 1.0), row("b", 0, 1.0, tower="vision")]
    assert [group.name for group in summary.by_role(rows)] == ["text up", "vision up"]
    assert [group.name for group in summary.by_role(rows[:1])] == ["up"]


def test_extremes_compare_shares_of_the_full_rank() -> None:
    rows = [row("a", 0, 5.0), row("b", 0, 6.0, rows=1000, columns=2000), row("c", 0, 9.0)]
    low, high = summary.extremes(rows)
    assert ([r["name"] for r in low], [r["name"] for r in high]) == (["b"], ["c"])
    without = [row("a", 0, None), row("b", 0, None)]
    assert summary.rank_measure(without) == "stable_rank"
    assert summary.extremes([]) == ([], [])


def test_least_certain_goes_by_the_relative_error() -> None:
    rows = [row("a", 0, 5.0), row("b", 0, 1.0)]
    result = summary.least_certain(rows, ["effective_rank", "stable_rank"])
    assert result is not None
    assert (result[0]["name"], result[1]) == ("b", "effective_rank")
    assert summary.least_certain(rows, ["stable_rank"]) is None


# ----------------------------------------------------------------------------------- progress


def event(kind: Kind, seconds: float, read: int, done: int, **more: Any) -> ScanEvent:
    return ScanEvent(kind, "a.weight", 1, 2, 100, read, done, 200, seconds, **more)


def test_time_left_learns_the_passes() -> None:
    estimate = ProgressEstimate()
    assert estimate.fraction(event("started", 0.0, 0, 0)) == 0.0
    assert estimate.fraction(event("reading", 1.0, 10**9, 0)) == pytest.approx(0.475)
    assert estimate.fraction(event("row", 4.0, 400, 100)) == 0.5
    assert estimate.fraction(event("reading", 6.0, 200, 100)) == pytest.approx(0.75)
    assert estimate.left(event("reading", 6.0, 200, 100), 0.75) == "2 s left"
    assert estimate.left(event("reading", 0.1, 200, 100), 0.75) == ""


def test_lines_for_logs(tmp_path: Path) -> None:
    out = screen()
    with LineProgress(out) as progress:
        ss.scan(model(tmp_path), progress=progress)
    lines = shown(out).splitlines()
    assert len(lines) == 21
    assert lines[0].startswith("[1/21] model.embed_tokens.weight 40 x 12: sigma_1 ")
    assert any("[/red]: failed: the matrix holds 1 NaN" in line for line in lines)
    assert "\x1b" not in shown(out)


@pytest.mark.parametrize("rows", [scan_rows(1), comparison_rows(1)], ids=["matrix", "pair"])
@pytest.mark.parametrize("converged", [True, False])
def test_a_line_says_what_did_not_converge(rows: list[dict[str, Any]], converged: bool) -> None:
    out = screen(160)
    done = next(row for row in rows if row["status"] == "analysed")
    LineProgress(out)(event("row", 1.0, 100, 100, row=done | {"converged": converged}))
    assert done["name"] in shown(out)
    assert (", not converged, " in shown(out)) == (not converged)


def test_live_line_leaves_nothing_behind(tmp_path: Path) -> None:
    out = screen(terminal=True)
    with LiveProgress(out) as progress:
        progress(event("started", 0.0, 0, 0))
        progress(event("reading", 2.0, 4_000_000_000, 0))
        progress._progress.refresh()
    text = shown(out)
    assert "a.weight" in text
    assert "2 GB/s" in text
    assert "left" in text
