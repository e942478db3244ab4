# SPDX-License-Identifier: BSD-3-Clause
"""Plots: that they draw the rows' numbers into the Axes they are given, and return them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.html_pages import comparison_of, scan_of
from tests.support.made_rows import (
    columns_of,
    comparison_rows,
    evidence,
    noise,
    planted,
    scan_row,
    scan_rows,
)
from tests.support.page_numbers import counts_above, known_spectrum_of_row

import sigmascope as ss
from sigmascope.results import Comparison, Scan

mpl.use("Agg")

import matplotlib.pyplot as plt

UP = "model.layers.2.mlp.up_proj.weight"


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close every figure after a test."""
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def scan() -> Scan:
    """A scan of a model of six layers, each number with an error of a hundredth."""
    return scan_of(scan_rows(6, relative=1e-2))


@pytest.fixture(scope="module")
def pairs() -> Comparison:
    """A comparison of two models of six layers."""
    return comparison_of(comparison_rows(6))


def rows_of(table: Scan | Comparison, role: str) -> list[dict[str, Any]]:
    return [row for row in table.analysed if row["role"] == role]


def drawn(axes: Any) -> None:
    """Let matplotlib lay everything out: what cannot be drawn fails here."""
    axes.figure.canvas.draw()


def check_band(band: Any, x: Sequence[int], values: Any, errors: Any) -> None:
    """Check that a band reaches from two errors below the values to two errors above."""
    corners = band.get_paths()[0].vertices
    for place, value, error in zip(x, values, errors, strict=True):
        heights = corners[corners[:, 0] == place, 1]
        ends = heights.min(), heights.max()
        assert ends == pytest.approx((value - 2 * error, value + 2 * error), rel=1e-9), place


def test_depth_draws_a_line_with_its_band_for_every_role(scan: Scan) -> None:
    ax = plt.figure().add_subplot()
    assert scan.plot.depth("stable_rank", ax=ax) is ax
    drawn(ax)
    assert [line.get_label() for line in ax.lines] == ["q", "k", "v", "o", "gate", "up", "down"]
    up = next(line for line in ax.lines if line.get_label() == "up")
    values = [row["stable_rank"] for row in rows_of(scan, "up")]
    assert np.allclose(up.get_ydata(), values)
    assert len(ax.collections) == 7
    errors = [row["stable_rank_error"] for row in rows_of(scan, "up")]
    check_band(ax.collections[ax.lines.index(up)], range(6), values, errors)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("layer", "stable rank")


def test_roles_are_in_the_order_of_a_block() -> None:
    rows = scan_rows(2)
    ax = scan_of(rows[::-1]).plot.depth("stable_rank")
    labels = [line.get_label() for line in ax.lines]
    assert labels == ["q", "k", "v", "o", "gate", "up", "down"]


def test_missing_values_break_the_line() -> None:
    rows = scan_rows(6)
    gone = next(row for row in rows if row["name"] == UP)
    gone["stable_rank"] = None
    ax = scan_of(rows).plot.depth("stable_rank")
    drawn(ax)
    up = next(line for line in ax.lines if line.get_label() == "up")
    assert np.isnan(up.get_ydata()).tolist() == [False, False, True, False, False, False]


def test_several_matrices_in_a_layer_are_a_median() -> None:
    rows = [
        {
            "name": f"{e}",
            "status": "analysed",
            "tower": "text",
            "role": "up",
            "layer": n,
            "x": n + e,
        }
        for n in range(3)
        for e in range(3)
    ]
    ax = scan_of(rows).plot.depth("x")
    assert ax.lines[0].get_ydata().tolist() == [1, 2, 3]


def test_heatmap_has_a_cell_for_every_layer_and_role(pairs: Comparison) -> None:
    ax = pairs.plot.heatmap("relative_change")
    drawn(ax)
    mesh = ax.collections[-1]
    assert mesh.get_array().shape == (7, 6)
    first = rows_of(pairs, "q")[0]["relative_change"]
    assert mesh.get_array()[0, 0] == pytest.approx(first)
    assert next(t.get_text() for t in ax.get_yticklabels()) == "q"


def test_a_change_meets_zero_in_the_middle_of_the_colours(pairs: Comparison) -> None:
    ax = pairs.plot.heatmap("change_effective_rank")
    norm = ax.collections[-1].norm
    assert norm.vmin == -norm.vmax


def test_spectrum_draws_the_values_by_rank(scan: Scan) -> None:
    ax = scan.plot.spectrum(UP)
    drawn(ax)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    row = next(row for row in scan.analysed if row["name"] == UP)
    assert np.allclose(ax.lines[0].get_ydata()[:8], row["top"][:8])
    check_band(ax.collections[0], range(1, 9), row["top"][:8], row["top_errors"][:8])
    assert ax.lines[1].get_ydata()[0] == pytest.approx(row["mp_edge"])


def test_before_after_and_delta_are_overlaid(pairs: Comparison) -> None:
    ax = pairs.plot.spectrum(UP)
    labels = [line.get_label() for line in ax.lines]
    assert labels == ["before", "after", "ΔW", "noise edge of ΔW"]
    ax = pairs.plot.spectrum(UP, sides=["delta", "projected"])
    assert [line.get_label() for line in ax.lines][-1] == "ΔW without decay"


@pytest.mark.parametrize("side", [None, "before", "projected"])
def test_density_with_noise_beside_it(pairs: Comparison, side: str | None) -> None:
    ax = pairs.plot.density(UP, side=side)
    drawn(ax)
    labels = [line.get_label() for line in ax.lines]
    assert "noise (Marchenko-Pastur)" in labels
    heights, edges, _ = ax.patches[0].get_data()
    share = float(heights @ np.diff(edges))
    assert 0.8 < share <= 1.001


@pytest.mark.parametrize(("count", "k"), [(38, 64), (38, 20)])
def test_what_lies_beyond_is_counted_of_the_row(count: int, k: int) -> None:
    shape = (240, 300)
    bulk = noise(np.random.default_rng(0), shape, 1.0)
    values = planted(bulk, np.linspace(900.0, 300.0, count).tolist())
    row = scan_row("w", 0, "up", shape) | evidence(shape) | columns_of(values, shape, 0.0, k)
    ax = scan_of([row]).plot.density("w")
    (text,) = [one.get_text() for one in ax.texts]
    shown = text.partition(" more beyond this axis, up to 900 →")[0].split(" ± ")
    assert len(shown) == 1 + (k < count)
    assert abs(float(shown[0]) - count) <= float(shown[-1]) * (k < count)
    curve = known_spectrum_of_row(row)
    x = np.array([100.0, 299.0, 450.0, 899.0, 901.0])
    counts, errors = counts_above(curve, x)
    truth = (values[:, None] > x).sum(axis=0)
    assert np.all(np.abs(counts - truth) <= errors)


def test_density_needs_more_than_the_largest_values() -> None:
    rows = scan_rows(3)
    for row in rows:
        row |= {c: (row.get(c) or [])[:4] or None for c in ("top", "top_errors")}
        row["quantiles"] = None
    with pytest.raises(ValueError, match="a density needs the effort"):
        scan_of(rows).plot.density(UP)
    drawn(scan_of(rows).plot.spectrum(UP))


def test_angles_are_degrees(pairs: Comparison) -> None:
    ax = pairs.plot.angles(UP)
    drawn(ax)
    row = next(row for row in pairs.analysed if row["name"] == UP)
    degrees = np.degrees(row["angles_left"])
    assert np.allclose(ax.lines[0].get_ydata(), degrees)
    errors = np.full(len(degrees), np.degrees(row["angles_left_error"]))
    check_band(ax.collections[0], range(1, len(degrees) + 1), degrees, errors)
    with pytest.raises(ValueError, match="has no angles"):
        scan_of(scan_rows(3)).plot.angles(UP)


def test_what_is_not_there_is_named(scan: Scan) -> None:
    with pytest.raises(ValueError, match="no analysed matrix is named 'x'"):
        scan.plot.spectrum("x")
    with pytest.raises(ValueError, match="no matrix in a layer has a value of beauty"):
        scan.plot.depth("beauty")


def test_a_scan_has_plots(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = [
        of_array(f"layers.{i}.mlp.up_proj.weight", "F32", rng.standard_normal((40, 30), np.float32))
        for i in range(3)
    ]
    scan = ss.scan(write_file(tmp_path / "m.safetensors", *tensors), effort="exact")
    ax = scan.plot.depth("effective_rank")
    assert np.allclose(ax.lines[0].get_ydata(), [row["effective_rank"] for row in scan.rows])
    assert "3 matrices" in repr(scan.plot)


def test_without_matplotlib_the_extra_is_named(scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'sigmascope\[plot\]'"):
        scan.plot.depth("stable_rank")
