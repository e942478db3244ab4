# SPDX-License-Identifier: BSD-3-Clause
"""The page: what it says of planted rows, what it holds, how small and how safe it is."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.html_pages import (
    Tags,
    comparison_page,
    data_of,
    findings_of,
    plain_text,
    scan_page,
)
from tests.support.made_rows import ODD, comparison_rows, scan_rows
from tests.support.page_numbers import (
    kept_error,
    kept_number,
    median_with_interval,
    names_far_from_their_role,
)

import sigmascope as ss

ANGLES = ("angles_left", "angles_right", "delta_angles_left", "delta_angles_right")
EVIL = "</script><img src=x onerror=alert(1)>'\"&\u2028<!--\x1b[31m"
"""A name that is markup, the end of a script, and that a terminal would obey."""


def said(rows: list[dict[str, Any]], *, pairs: bool = False, **more: Any) -> dict[str, str]:
    """Title and text of every finding, the names in it added; curves are left out to save time."""
    rows = [{c: x for c, x in row.items() if not c.endswith(("top", "quantiles"))} for row in rows]
    page = comparison_page(rows, **more) if pairs else scan_page(rows, **more)
    return {title: finding.whole for title, finding in findings_of(page).items()}


# ---------------------------------------------------------------------------------- estimates


def test_interval_of_a_median_is_that_of_order_statistics() -> None:
    interval = median_with_interval(list(range(1, 11)))
    assert interval == (5.5, 2, 9), "97.9 %; 3 to 8 has 89.1 %"
    assert median_with_interval([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
    assert median_with_interval([1.0] * 6, [0.5] * 6)[1] == 0.0
    _, *ends = median_with_interval([3.0, 1.0, 2.0], [0.1, 0.5, 0.2])
    assert ends == [0.0, 3.2], "two errors beyond the ends"


@pytest.mark.parametrize("count", [6, 9, 25, 200, 1500])
def test_interval_of_a_median_holds_it_in_95_percent(count: int) -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for draw in rng.lognormal(size=(400, count)):
        _, low, high = median_with_interval(draw.tolist())
        hits += low <= 1.0 <= high
    assert hits >= 0.93 * 400


def test_what_is_far_from_its_role_stands_out_and_noise_does_not() -> None:
    def rows(values: list[float], error: float) -> list[dict[str, Any]]:
        return [
            {"name": str(i), "tower": "text", "role": "q", "x": v, "x_error": error}
            for i, v in enumerate(values)
        ]

    near = [1.0, 1.02, 0.98, 1.01, 0.99, 1.03]
    assert names_far_from_their_role(rows([*near, 2.0], 0.01), "x") == ["6"]
    for values, error, why in (
        ([*near, 2.0], 0.6, "within four errors"),
        ([*near, 1.1], 0.0, "less than a fifth away"),
        ([1.0, 1.0, 1.0, 9.0], 0.0, "too few for a rule"),
    ):
        assert names_far_from_their_role(rows(values, error), "x") == [], why


# ----------------------------------------------------------------------------------- findings


def test_a_scan_opens_with_what_matters() -> None:
    result = said(scan_rows())
    assert "86 matrices of 100 tensors" in result["Analysed"]
    assert "12 vector" in result["Analysed"]
    assert ODD[0] in result["Stand out in their role"]
    assert "stable rank" in result["Stand out in their role"]
    assert "the matrix holds 1 NaN" in result["Failed"]
    assert "dtype F4 is not decoded" in result["Not read"]
    assert re.search(r"lowest in \w+, [\d.]+ \[[\d.]+, [\d.]+\] %", result["Rank by role"])
    assert "Not converged" not in result


def test_a_scan_without_news_says_so() -> None:
    rows = [row for row in scan_rows() if row["name"] != ODD[0] and row["status"] == "analysed"]
    result = said(rows)
    assert "Nothing stands out" in result
    assert not {"Failed", "Not read", "Not converged"} & set(result)


def test_an_unfinished_scan_says_so() -> None:
    rows = scan_rows()
    assert f"{len(rows)} of 200 tensors" in said(rows, expected=200)["Analysed"]


def test_what_did_not_converge_is_named() -> None:
    rows = scan_rows(3)
    assert "All matrices reached the requested tolerance" in said(rows)["Analysed"]
    rows[1]["converged"] = False
    result = said(rows)
    assert rows[1]["name"] in result["Not converged"]
    assert "reached the requested" not in result["Analysed"]


def test_a_comparison_says_where_how_much_and_in_what_shape() -> None:
    rows = comparison_rows(6)
    result = said(rows, pairs=True)
    assert "44 pairs" in result["Compared"]
    assert "no tensor of this place" in result["Not paired"]
    assert "model.layers.0.self_attn.k_proj.weight" in result["Below the rounding floor"]
    assert "cannot be seen" in result["Below the rounding floor"]
    assert "grows with depth" in result["Which layers"]
    assert re.search(r"largest in \w+, [\d.]+ \[", result["Which roles"])
    assert "ΔW has 6 [6, 6] singular values" in result["Shape of the change"]
    assert "rounding alone would be" in result["Shape of the change"]
    assert "an expansion" in result["Effective rank"]
    assert "1.0 % [1.0, 1.0]" in result["Weight decay"]
    assert "turned by" in result["Directions"]


def test_two_equal_checkpoints_are_not_distinguishable() -> None:
    rows = comparison_rows(3)
    for row in rows:
        if row["status"] == "analysed":
            row |= {"above_rounding": False, "relative_change": 1e-5}
    result = said(rows, pairs=True)
    assert "no clear difference in what was compared" in result["Verdict"]
    assert "1 without a partner" in result["Verdict"]
    whole = said([row for row in rows if row["status"] == "analysed"], pairs=True)
    assert "no clear difference between the two" in whole["Verdict"]
    assert not {"Which roles", "Which layers", "Shape of the change"} & set(result)
    for row in rows:
        if row["status"] == "analysed":
            row |= {"relative_change": 0.0, "delta_fro_norm": 0.0}
    identical = said(rows, pairs=True)["Identical"]
    assert "identical in every entry" in identical
    assert "model.layers.{0 to 2}: self_attn.q_proj.weight, self_attn.k_proj.weight" in identical
    assert "21 pairs" in identical


def test_old_and_new_directions() -> None:
    rows = comparison_rows(3)
    for row in rows:
        if row["status"] == "analysed":
            row["delta_angles_left"] = row["delta_angles_right"] = [0.1, 0.2, 0.3]
    assert "partly reinforces" in said(rows, pairs=True)["Old or new directions"]
    for row in rows:
        if row["status"] == "analysed":
            row["delta_angles_left"] = row["delta_angles_right"] = [1.56, 1.565, 1.57]
    assert "avoids" in said(rows, pairs=True)["Old or new directions"]


def test_terms_are_explained_once_in_each_finding() -> None:
    term = r"<span class='term' tabindex='0' data-meaning='([^>]+)'>([^<]+)</span>"
    every = set()
    for page in (scan_page(scan_rows(3)), comparison_page(comparison_rows(2))):
        for text in re.findall(r"<li class='finding .*?<p>(.*?)</p>", page, re.DOTALL):
            words = [word for _, word in re.findall(term, text)]
            assert len(set(words)) == len(words)
            every |= set(words)
            for match in re.finditer(term, text):
                meaning, word = match.groups()
                assert meaning.endswith(".")
                longer = [other for other in words if word in other and other != word]
                assert word not in plain_text(text[: match.start()]) or longer, "the first one"
    assert every >= {"effective rank", "full rank", "ΔW", "‖ΔW‖/‖W‖", "noise edge"}
    assert all(word == escape(word) for word in every)


# ------------------------------------------------------------------------------------ numbers


@given(st.floats(-1e12, 1e12), st.floats(0, 1e6))
def test_numbers_are_no_longer_than_their_error_allows(value: float, error: float) -> None:
    result = kept_number(value, error)
    assert result is not None
    assert abs(result - value) <= max(error / 4, abs(value) * 1e-4, 1e-300)
    assert len(f"{result!r}".replace("-", "")) <= 20
    shown = kept_error(value, error)
    assert shown == 0 or shown == pytest.approx(error, rel=0.06)


def test_missing_and_nonfinite_numbers_are_null() -> None:
    assert kept_number(None) is None
    assert kept_number(math.nan) is None
    assert kept_number(3.0) == 3
    assert json.dumps(kept_number(0.123456789, 0.01)) == "0.12346"  # 0.123 and two more digits
    assert kept_error(None, None) == 0


def test_the_data_of_a_page_are_the_rows() -> None:
    rows = scan_rows(5)
    data = data_of(scan_page(rows))
    analysed = [row for row in rows if row["status"] == "analysed"]
    assert data["matrices"]["name"] == [row["name"] for row in analysed]
    assert {m["key"] for m in data["measures"]} >= {"effective_rank", "shoulder_286", "alpha"}
    for key, values in data["values"].items():
        for row, value in zip(analysed, values, strict=True):
            assert (value is None) == (row[key] is None), key
            if value is not None:
                error = row[f"{key}_error"] or 0.0
                assert value == pytest.approx(row[key], rel=1e-4, abs=error / 3 + 1e-12), key
    ranks, sigma, _, (_, shares, _, beyond, _, _) = data["curves"][3]["w"]
    assert sum(shares) / 1e4 + beyond / 32 == pytest.approx(1, abs=0.05)
    assert sigma[0] == pytest.approx(analysed[3]["top"][0], rel=1e-4)
    assert ranks[-1] == 32


def test_angles_and_their_errors_are_degrees_in_a_page() -> None:
    rows = [row for row in comparison_rows(2) if row["status"] == "analysed"]
    for row, curves in zip(rows, data_of(comparison_page(rows))["curves"], strict=True):
        for name in ANGLES:
            count, places, degrees, error = curves[name]
            assert (count, places[0], places[-1]) == (len(row[name]), 1, count)
            expected = np.degrees(row[name])[np.array(places) - 1]
            assert error == pytest.approx(np.degrees(row[f"{name}_error"]), rel=1e-3)
            assert degrees == pytest.approx(expected.tolist(), abs=error / 20)


@pytest.mark.parametrize("pairs", [False, True], ids=["scan", "comparison"])
def test_buttons_of_findings_open_the_matrix_that_they_name(pairs: bool) -> None:
    """They count the analysed matrices, as the numbers of the page do."""
    rows = comparison_rows(8)[::-1] if pairs else scan_rows(8)
    rows[10]["converged"] = rows[30]["converged"] = False
    text = comparison_page(rows) if pairs else scan_page(rows)
    names = data_of(text)["matrices"]["name"]
    buttons = re.findall(
        r"<button type='button' class='go' data-row='(\d+)'>([^<]*)</button>", text
    )
    assert {rows[10]["name"], rows[30]["name"]} <= {name for _, name in buttons}
    assert [names[int(place)] for place, _ in buttons] == [name for _, name in buttons]


@pytest.mark.nightly
def test_723_tensors_stay_under_five_megabytes() -> None:
    rows = comparison_rows(103)
    assert len(rows) == 724
    few = [row for row in rows if row["status"] == "analysed"]
    for row in few:  # as long as lists get at k = 64
        for side in ("before", "after", "delta", "projected"):
            row[f"{side}_top"] = np.geomspace(9.87654321, 0.123456789, 64).tolist()
            row[f"{side}_top_errors"] = [0.00123456789] * 64
            row |= {"rows": 8192, "columns": 8192}
        for name in ANGLES:
            row[name] = np.linspace(0.123456, 1.567891, 64).tolist()
    text = comparison_page(rows)
    assert len(text.encode()) < 5_000_000
    data = data_of(text)
    assert len(data["matrices"]["name"]) == 723
    assert "are not in it" not in text


def long_names(rows: list[dict[str, Any]], length: int) -> list[dict[str, Any]]:
    """The analysed rows, with names of so many characters in all."""
    rows = [row for row in rows if row["status"] == "analysed"]
    return [row | {"name": str(i).rjust(length // len(rows), "n")} for i, row in enumerate(rows)]


def test_measures_that_do_not_fit_are_left_out_and_said() -> None:
    """All numbers of a page have 4,400,000 characters at most, 60 % of them for measures."""
    text = comparison_page(long_names(comparison_rows(2), 2_620_000))
    data = data_of(text)
    assert "relative_change" in data["values"]
    assert all(curves is not None for curves in data["curves"])
    left = re.search(r"To keep this file small, (\d+) measures are not in it", text)
    assert left is not None
    assert int(left[1]) > 0


def test_spectra_that_do_not_fit_are_left_out_and_said() -> None:
    text = comparison_page(long_names(comparison_rows(2), 4_360_000))
    there = [curves is not None for curves in data_of(text)["curves"]]
    assert 0 < sum(there) < len(there)
    assert f"the spectra of {len(there) - sum(there)} matrices and " in text


# ------------------------------------------------------------------------------- what is missing


@pytest.mark.parametrize("pairs", [False, True], ids=["scan", "comparison"])
def test_columns_may_be_missing(pairs: bool) -> None:
    """Scans of older versions, and of effort "top"; roles of several layers, and of one."""
    rows = comparison_rows(3) if pairs else scan_rows(3)
    rows = [row for row in rows if row["role"] not in ("v", "o", "gate", "up", "down")]
    essential = {"name", "status", "rows", "columns", "kind", "nbytes", "seconds", "converged"}
    essential |= {"reason", "passes"}
    columns = sorted(set(rows[0]) - essential)
    for start in range(7):
        gone = set(columns[start::7])
        few = [{c: v for c, v in row.items() if c not in gone} for row in rows]
        text = comparison_page(few) if pairs else scan_page(few)
        assert len(data_of(text)["matrices"]["name"]) == 8
        none = [row | dict.fromkeys(gone) for row in rows]
        text = comparison_page(none) if pairs else scan_page(none)
        assert not gone & set(data_of(text)["values"])


def test_nothing_analysed_is_a_page_too() -> None:
    rows = [row for row in scan_rows(2) if row["status"] != "analysed"]
    text = scan_page(rows)
    assert data_of(text)["matrices"]["name"] == []
    assert "dtype F4 is not decoded" in text
    assert "The scan" not in said(rows)["Analysed"]
    assert "0 matrices of 0 tensors" in said([])["Analysed"]
    assert "0 pairs" in said([], pairs=True)["Compared"]


# --------------------------------------------------------------------------------------- safety


@pytest.mark.parametrize("pairs", [False, True], ids=["scan", "comparison"])
def test_names_from_files_are_text(pairs: bool) -> None:
    rows = comparison_rows(2) if pairs else scan_rows(2)
    for row in rows[:4]:
        row["name"] = f"{EVIL}{row['name']}"
        row["role"] = row["file"] = row["notes"] = EVIL
    rows[0] |= {"status": "failed", "reason": EVIL}
    more = {"notes": [EVIL], "files": [{"name": EVIL, "size": 1, "digest": EVIL}]}
    if pairs:
        text = comparison_page(rows, before=EVIL, **more)
    else:
        text = scan_page(rows, checkpoint=EVIL, **more)
    tags = Tags()
    tags.feed(text)
    assert "img" not in {tag for tag, _ in tags.tags}
    assert [tag for tag, _ in tags.tags].count("script") == 2
    assert not [a for _, attributes in tags.tags for a in attributes if a.startswith("on")]
    assert "\x1b" not in text
    assert EVIL in data_of(text)["matrices"]["name"][0]
    assert "onerror=alert(1)" in tags.text


def test_the_page_runs_its_own_scripts_and_loads_nothing() -> None:
    text = scan_page(scan_rows(3))
    tags = Tags()
    tags.feed(text)
    assert tags.dangling() == set()
    policy = next(a["content"] for t, a in tags.tags if a.get("http-equiv")) or ""
    assert policy.startswith("default-src 'none'")
    for part, pattern in (
        ("script-src", r"<script>(.*?)</script>"),
        ("style-src", r"<style>(.*?)</style>"),
    ):
        matches = re.findall(pattern, text, re.DOTALL)
        assert len(matches) == 1
        digest = base64.b64encode(hashlib.sha256(matches[0].encode()).digest()).decode()
        assert f"{part} 'sha256-{digest}'" in policy
    for tag, attributes in tags.tags:
        for name in ("src", "href", "action", "style"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (tag, value)
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text
    assert "{{" not in text.split("<script", 1)[0]


def test_parts_stay_readable_at_one_sitting() -> None:
    package = Path(ss.__file__).parent
    files = [path for kind in ("js", "css", "html") for path in package.rglob(f"*.{kind}")]
    assert len(files) > 8
    for file in files:
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 300, file
