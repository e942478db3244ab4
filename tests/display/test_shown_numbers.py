# SPDX-License-Identifier: BSD-3-Clause
"""Every number that is shown: its interval is that of the row, in terminals, pages and reprs."""

from __future__ import annotations

import io
import math
import re
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from tests.support.changed import written
from tests.support.html_pages import comparison_of, scan_of
from tests.support.made_rows import Row, comparison_rows, scan_rows
from tests.support.page_numbers import (
    ends_of_interval,
    kept_error,
    kept_number,
    median_and_error,
    number_alone,
    number_in_row,
    number_with_error,
)
from tests.support.tuned_models import CARRIED, base_model, tuned_model

import sigmascope as ss
from sigmascope import report
from sigmascope.results import Comparison, Scan
from sigmascope.spectra import Measure

NUMBER = r"-?\d+(?:\.\d+)?"
SHOWN = re.compile(rf"\(?({NUMBER})(?: ± ({NUMBER}|\?|inf))?\)?(?:e(-?\d+))?")

BY_ROLE = "By role: median (least to greatest, errors included)"
NO_ERROR = "Where no ± is given, the error is below the last digit shown."
COLUMNS_OF_A_SCAN = {
    "effective rank": "effective_rank",
    "stable rank": "stable_rank",
    "sigma_1": "spectral_norm",
    "above noise": "mp_outliers",
    "alpha": "alpha",
}
COLUMNS_OF_A_COMPARISON = {
    "|dW|/|W|": "relative_change",
    "dW above noise": "delta_mp_outliers",
    "stable rank dW": "delta_stable_rank",
    "eff. rank dW": "delta_effective_rank",
    "change of eff. rank": "change_effective_rank",
    "decay": "decay_coefficient",
}

values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**7), 10**7).map(float),
    st.floats(0.001, 1e6),
)
errors = st.one_of(
    st.just(0.0),
    st.floats(0, allow_nan=False, allow_infinity=False),
    st.integers(0, 1000).map(float),
    st.floats(1e-9, 1e3),
)


def read(text: str) -> tuple[Decimal, Decimal | None, Decimal]:
    """The value, the error, and the unit of the last digit of a number as it is shown."""
    match = SHOWN.fullmatch(text)
    assert match, text
    scale = Decimal(10) ** int(match[3] or 0)
    places = len(match[1].partition(".")[2])
    error = None if match[2] is None else Decimal(match[2]) * scale
    return Decimal(match[1]) * scale, error, Decimal(10) ** -places * scale


def check(text: str, value: float, error: float) -> None:
    """Check that a text has the value to half a unit, and its error unless that is less."""
    shown, width, unit = read(text)
    slack = unit * Decimal("0.5000001")
    assert abs(shown - Decimal(value)) <= slack
    if width is None:
        assert Decimal(error) <= slack
    else:
        assert abs(width - Decimal(error)) <= slack
        assert width > 0
        assert unit <= Decimal(error) * Decimal("1.06"), "no digit below the error is lost"


@settings(max_examples=150)
@given(values, errors)
@example(148.0, 71.0)
@example(24.0, 251.0)
@example(68.0, 37.2)
@example(5e-324, 5e-324)
@example(1.7e308, 1e-300)
@example(9.9996, 0.0)
@example(0.0, 1e-12)
@example(1e-9, 3.0)
@example(999_999.7, 0.0)
def test_the_interval_that_is_shown_is_that_of_the_number(value: float, error: float) -> None:
    text = number_with_error(value, error)
    check(text, value, error)
    assert len(text) <= 40
    assert repr(Measure(value, error, "top")) == f"Measure({text}, top)"


@settings(max_examples=150)
@given(values, errors)
@example(2.5, 3.2)
@example(0.0005, 5e-8)
@example(1.005, 0.0)
@example(0.0, 999_999.9999999999)
def test_a_page_holds_the_digits_that_are_shown(value: float, error: float) -> None:
    """Written from what the page keeps, a number is the one that is written from the row."""
    kept, width = kept_number(value, error), kept_error(value, error)
    assert kept is not None
    assert width is not None
    assert number_with_error(kept, width) == number_with_error(value, error)


@pytest.mark.parametrize("value", [0.0, 3.0, -2.5, 1e-30, 7e12])
def test_an_error_that_is_not_known_is_said_not_to_be(value: float) -> None:
    for error, text in ((None, "± ?"), (math.nan, "± ?"), (math.inf, "± inf")):
        assert number_with_error(value, error).endswith(text)
        assert number_in_row({"x": value, "x_error": error}, "x").endswith(text)
    assert number_in_row({"x": value}, "x").endswith("± ?")
    assert kept_error(value, None) is None
    assert [number_with_error(x) for x in (math.inf, -math.inf, math.nan)] == ["inf", "-inf", "nan"]
    assert number_in_row({"x": None}, "x") == "-"


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9), st.integers(1, 6))
def test_bounds_are_rounded_outwards(low: float, width: float, digits: int) -> None:
    assume(not 0 < abs(low) < 1e-300)  # whose digits are fewer than are compared
    ends = ends_of_interval(low, low + width, digits)
    shown = [read(text)[0] for text in ends]
    slack = Decimal("1e-11")
    assert shown[0] <= Decimal(low) + abs(Decimal(low)) * slack
    assert shown[1] >= Decimal(low + width) - abs(Decimal(low + width)) * slack
    assert read(number_alone(low, digits))[1] is None


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e3)), min_size=1, max_size=9))
def test_the_error_of_a_median_holds_whatever_the_errors_do(
    pairs: list[tuple[float, float]],
) -> None:
    middle, error = median_and_error(pairs)
    assert error is not None
    rng = np.random.default_rng(0)
    for signs in rng.uniform(-1, 1, (20, len(pairs))):
        moved = median(v + s * e for (v, e), s in zip(pairs, signs.tolist(), strict=True))
        assert abs(moved - middle) <= error + 1e-9
    assert median_and_error([(1.0, 0.1), (2.0, None)])[1] is None


# ---------------------------------------------------------------------------- what tables show


def uncertain(rows: list[Row], seed: int) -> list[Row]:
    """The rows with errors of every size, some of them missing, and some values missing."""
    rng = np.random.default_rng(seed)
    for row in rows:
        if row["status"] != "analysed":
            continue
        for column in [c for c in row if f"{c}_error" in row and isinstance(row[c], float)]:
            chance = rng.random()
            size = 10.0 ** rng.uniform(-9, 1)
            row[f"{column}_error"] = 0.0 if chance < 0.2 else abs(row[column]) * size
            if chance > 0.93:
                row[f"{column}_error"] = None
            if chance > 0.97:
                row[column] = None
    return rows


def by_role(table: Scan | Comparison) -> dict[str, list[Row]]:
    """The analysed rows of each role."""
    groups: dict[str, list[Row]] = {}
    for row in table.analysed:
        groups.setdefault(row["role"], []).append(row)
    return groups


def cells(text: str, title: str) -> list[list[str]]:
    """The lines of a table by its title, cut where two spaces are."""
    lines = text.split(title, 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    return [re.split(r"\s{2,}", line.strip()) for line in lines if "──" not in line]


def printed(show: Any, result: Any) -> str:
    out = Console(file=io.StringIO(), width=600, markup=False, highlight=False)
    show(out, result)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def check_range(text: str, rows: list[Row], column: str) -> None:
    """A cell of a role is the median with its error, of how many, and the range of all."""
    pairs = [(row[column], row[f"{column}_error"]) for row in rows if row[column] is not None]
    if not pairs:
        assert text == "-"
        return
    match = re.fullmatch(r"(.*?)(?:, (\d+) of (\d+))?(?: \((\S+) to (\S+)\))?", text)
    assert match
    middle, error = median_and_error(pairs)
    if error is None:
        assert match[1].endswith("± ?")
    else:
        check(match[1], middle, error)
    if len(pairs) < len(rows):
        assert (int(match[2]), int(match[3])) == (len(pairs), len(rows))
    if match[4]:
        low, high = (float(read(end)[0]) for end in match.group(4, 5))
        assert low <= min(v - (e or 0) for v, e in pairs) * (1 + 1e-9) + 1e-9
        assert high >= max(v + (e or 0) for v, e in pairs) - 1e-9 * abs(high)
    else:
        assert len(pairs) == 1 or not error


@pytest.mark.parametrize("seed", range(3))
def test_every_number_of_the_tables_of_a_scan_is_that_of_the_rows(seed: int) -> None:
    rows = uncertain(scan_rows(6, 1e-3, seed), seed)
    scan = scan_of(rows)
    text = printed(report.show_scan, scan)
    heads, *lines = cells(text, BY_ROLE)
    names = COLUMNS_OF_A_SCAN
    groups = by_role(scan)
    assert len(lines) == len(groups) == 9
    for line in lines:
        for head, cell in zip(heads[3:], line[3:], strict=True):
            check_range(cell, groups[line[0]], names[head])
    heads, *lines = cells(text, "By layer: effective rank")
    assert len(lines) == 6
    for line in lines:
        for role, cell in zip(heads[1:], line[1:], strict=True):
            check_range(
                cell, [r for r in groups[role] if str(r["layer"]) == line[0]], "effective_rank"
            )
    by_name = {row["name"]: row for row in rows}
    for which in ("Lowest", "Highest"):
        heads, *lines = cells(text, f"{which} effective rank as a share of the full rank")
        for line in lines:
            row, share = (
                by_name[line[0]],
                100 / min(by_name[line[0]]["rows"], by_name[line[0]]["columns"]),
            )
            value, error = row["effective_rank"], row["effective_rank_error"]
            error = None if error is None else error * share
            assert line[1] == f"{number_with_error(value * share, error)} %"
            for head, cell in zip(heads[2:], line[2:], strict=True):
                check_range(cell, [row], names[head])
    assert NO_ERROR in text


@pytest.mark.parametrize("layers", [1, 6])
def test_every_number_of_the_tables_of_a_comparison_is_that_of_the_rows(layers: int) -> None:
    rows = [row | {"kind": "matrix"} for row in uncertain(comparison_rows(layers, 3), 3)]
    comparison = comparison_of(rows)
    text = printed(report.show_comparison, comparison)
    names = COLUMNS_OF_A_COMPARISON
    if layers == 1:
        heads, *lines = cells(text, text[: text.index("\npair ")])
        by_name = {row["name"]: [row] for row in rows}
        first = 1
    else:
        heads, *lines = cells(text, BY_ROLE)
        by_name = by_role(comparison)
        first = 2
    assert len(lines) == 9
    for line in lines:
        for head, cell in zip(heads[first:], line[first:], strict=True):
            check_range(cell, by_name[line[0]], names[head])
    assert NO_ERROR in text


def check_adapter(table: list[list[str]], rows: list[Row]) -> None:
    """Errors are those of the rows, and the largest 2-norm is rounded up."""
    names = {"remains": "remaining", "|dW - B A| / |dW|": "relative_error"}
    names |= {"above noise": "mp_outliers"}
    heads, *lines = table
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        cells = dict(zip(heads, line, strict=True))
        assert cells["tensor"] == row["name"]
        for head in names.keys() & cells.keys():
            check(cells[head], row[names[head]], row[f"{names[head]}_error"])
        most, bound = read(cells["2-norm at most"])[0], Decimal(row["spectral_bound"])
        assert bound * (1 - Decimal("1e-11")) <= most <= bound * Decimal("1.01")


@pytest.mark.parametrize("rank", [1, 3, "edge"])
def test_every_number_of_an_adapter_is_that_of_its_row(rank: int | str, tmp_path: Path) -> None:
    base = base_model()
    models = [
        written(tmp_path / name, model, "F32")
        for name, model in (("base", base), ("tuned", tuned_model(base)))
    ]
    extraction = ss.extract(*models, tmp_path / "a", rank=rank)
    text = printed(report.show_extraction, extraction)
    assert [row["name"] for row in extraction.analysed] == CARRIED
    check_adapter(cells(text, text.splitlines()[0]), extraction.analysed)
    resized = ss.adapters.resize(tmp_path / "a", tmp_path / "b", rank=1)
    rows = [
        {
            "name": each.name,
            "remaining": each.remaining.value,
            "remaining_error": each.remaining.error,
            "relative_error": each.relative_error.value,
            "relative_error_error": each.relative_error.error,
            "spectral_bound": each.spectral_bound,
        }
        for each in resized
    ]
    check_adapter(cells(f"Resized\n{printed(report.show_resized, resized)}", "Resized"), rows)


def check_median(text: str, rows: list[Row], step: int, value: str, error: str) -> None:
    middle, wide = median_and_error([(r[value], r[error]) for r in rows if r["step"] == step])
    assert wide is not None
    check(text, middle, wide)


def test_a_trajectory_and_a_reference_show_their_errors() -> None:
    runs = {step: uncertain(scan_rows(4, 1e-2, step), step) for step in (1, 2)}
    for rows in runs.values():
        for row in rows:
            for column in ("effective_rank", "stable_rank"):
                row[f"{column}_error"] = 0.05 * (row[column] or 1.0)
    run = ss.series.trajectory(runs, measures=["effective_rank", "stable_rank"])
    heads, *lines = cells(printed(report.show_trajectory, run), "Median over the n layers, by step")
    assert heads[2:] == ["n", "change", "1", "2"]
    for line in lines:
        role = line[0].removeprefix("text ")
        results = [r for r in run if r["role"] == role and r["measure"] == line[1]]
        assert int(line[2]) == len(results) / 2
        for step, cell in zip((1, 2), line[4:], strict=True):
            check(
                cell,
                *median_and_error([(r["value"], r["error"]) for r in results if r["step"] == step]),
            )
        check(
            line[3],
            *median_and_error(
                [(r["change"], r["change_error"]) for r in results if r["step"] == 2]
            ),
        )
    known = ss.series.reference([runs[1], runs[2]], measures="effective_rank", bands=2)
    heads, *lines = cells(f"Known\n{printed(report.show_series, known)}", "Known")
    assert heads[4:] == ["least", "lower quartile", "median", "upper quartile", "greatest"]
    for line, row in zip(lines, known, strict=True):
        for name, cell in zip(heads[4:], line[4:], strict=True):
            check(cell, row[name.replace(" ", "_")], row["error"])
    placed = printed(report.show_series, known.place(runs[1]))
    assert "±" in placed
    assert re.search(r"\d\.\d\d \[\d\S*, \d\S*\]", placed)


@pytest.mark.parametrize("count", [2, 6, 7, 20])
def test_a_trajectory_shows_its_first_and_its_last_step(count: int) -> None:
    rows = scan_rows(1, 1e-2)
    run = ss.series.trajectory({10 * step: rows for step in range(count)}, measures="stable_rank")
    (heads, *_) = cells(printed(report.show_trajectory, run), "Median over the n layers, by step")
    steps = list(map(int, heads[4:]))
    assert (steps[0], steps[-1], len(steps)) == (0, 10 * (count - 1), min(count, 6))
    assert steps == sorted(set(steps))
