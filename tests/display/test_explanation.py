# SPDX-License-Identifier: BSD-3-Clause
"""The three sentences for a colleague hold in every case, and stand on every page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import adapted_model
from tests.support.changed import written
from tests.support.html_pages import (
    comparison_page,
    page_of,
    scan_page,
    sentences_of,
)
from tests.support.made_rows import ODD, Row, comparison_rows, scan_rows
from tests.support.screens import screen, shown

import sigmascope as ss
from sigmascope import report


def sentences_of_scan(rows: list[Row], **more: Any) -> list[str]:
    return sentences_of(scan_page(rows, **more))


def sentences_of_comparison(rows: list[Row], **more: Any) -> list[str]:
    return sentences_of(comparison_page(rows, **more))


def analysed(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["status"] == "analysed"]


def test_a_scan_says_what_was_analysed_and_what_failed() -> None:
    rows = scan_rows()
    examined, meaning, limits = sentences_of_scan(rows)
    assert examined.startswith("86 of 100 tensors are weight matrices")
    assert "2 failed or cannot be read" in examined
    assert "needs attention" in meaning
    assert "failed" in meaning
    assert "do not say whether the model answers well" in limits
    examined, _, _ = sentences_of_scan(rows, expected=200)
    assert "so far (100 of 200)" in examined


def test_a_scan_without_faults_outliers_or_matrices() -> None:
    rows = analysed([row for row in scan_rows(6) if row["name"] != ODD[0]])
    assert sentences_of_scan(rows)[1].startswith("No matrix looks damaged, and no outlier")
    assert "something is unusual (see: stand out" in sentences_of_scan(analysed(scan_rows(12)))[1]
    for few in ([], [row for row in scan_rows() if row["status"] != "analysed"]):
        examined, meaning, _ = sentences_of_scan(few)
        assert examined.startswith("No tensor")
        assert meaning == "No matrix was analysed, so nothing is known about the weights."


def test_a_scan_of_rounded_weights_says_so() -> None:
    rows = analysed(scan_rows(2))
    assert "rounded weights" not in sentences_of_scan(rows)[2]
    assert "rounded weights" in sentences_of_scan([row | {"dtype": "Q4_0"} for row in rows])[2]


def test_a_comparison_says_how_much_changed_and_what_was_not_compared() -> None:
    examined, meaning, limits = sentences_of_comparison(comparison_rows(3))
    assert "23 pairs" in examined
    assert re.search(r"moved the weights by [\d.]+( ± [\d.]+)? % of their size", meaning)
    assert "ten directions hold" in meaning
    assert "about 1 tensor that was not compared" in limits
    whole = analysed(comparison_rows(2))
    assert sentences_of_comparison(whole)[2].endswith("or worse, or what it learned.")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"relative_change": 0.0, "delta_fro_norm": 0.0}, "identical in every entry"),
        ({"above_rounding": False}, "by no more than the rounding of their number formats"),
        (
            {"above_rounding": False, "effective_bits": 4.2},
            "by no more than rounding to fewer bits explains",
        ),
    ],
)
def test_pairs_that_did_not_change(columns: Row, words: str) -> None:
    rows = [row | {"beyond_rounding": 0} | columns for row in analysed(comparison_rows(2))]
    assert words in sentences_of_comparison(rows)[1]


def test_comparisons_of_nothing_and_of_vectors() -> None:
    assert "No tensor was compared" in sentences_of_comparison([])[1]
    before = {"norm.weight": np.ones(8, np.float32), "bias": np.ones(3, np.float32)}
    pair = ss.compare(before, before | {"bias": np.zeros(3, np.float32)})
    assert sentences_of(page_of(pair))[1] == ("No matrix was compared; 1 of 2 tensors changed.")
    zero = {"B": np.zeros((6, 5), np.float32)}
    pair = ss.compare(zero, {"B": np.eye(6, 5, dtype=np.float32)})
    assert "were zero before" in sentences_of(page_of(pair))[1]


def test_adapters_are_called_adapters(tmp_path: Path) -> None:
    base = written(tmp_path / "base", adapted_model.llama())
    adapter = adapted_model.adapter(tmp_path / "adapter", r=4)
    scan = ss.scan(adapter, k=4)
    assert "changes that an adapter makes" in sentences_of(page_of(scan))[0]
    pair = ss.compare(base, adapter, k=4)
    assert "of the change that an adapter makes" in sentences_of(page_of(pair))[0]


def test_a_trajectory_names_what_moved_most() -> None:
    rng = np.random.default_rng(0)
    first = {
        f"model.layers.{i}.mlp.{role}_proj.weight": rng.standard_normal((12, 10))
        for i in range(2)
        for role in ("up", "down")
    }
    name = "model.layers.1.mlp.up_proj.weight"
    second = first | {name: first[name] * np.geomspace(1, 0.1, 10)}
    for last, words in (
        (second, "of up in layer 1, which fell by "),
        (first, "no measure changed by more than its error."),
    ):
        run = ss.series.trajectory([first, last], steps=[10, 20])
        out = screen(1000)
        report.show_trajectory(out, run)
        text = shown(out).splitlines()[0]
        assert text.startswith("4 tensors of a model in training were measured at 2 steps, from 10")
        assert words in text
    nothing = [row for row in scan_rows(1) if row["status"] != "analysed"]
    out = screen(1000)
    report.show_trajectory(out, ss.series.trajectory({1: nothing, 2: nothing}))
    assert shown(out).startswith("No tensor was measured.")
