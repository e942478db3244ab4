# SPDX-License-Identifier: BSD-3-Clause
"""The three sentences for a colleague hold in every case, and stand on every page."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import adapted_model
from tests.support.changed import written
from tests.support.html_pages import (
    EVIL,
    Tags,
    comparison_of,
    comparison_page,
    page_of,
    scan_page,
)
from tests.support.made_rows import ODD, Row, comparison_rows, scan_rows
from tests.support.screens import screen, shown
from tests.support.updates import rows_of_update

import sigmascope as ss
from sigmascope import report
from sigmascope.diagnosis import Calibration, Diagnosis, RunDiagnosis

HEADS = ["What was examined", "What it means", "What it cannot tell"]


def sentences_of(html: str) -> list[str]:
    """Return the three sentences of a page, each checked to be one."""
    (block,) = re.findall(r"<dl class='explanation'>(.*?)</dl>", html)
    assert re.findall(r"<dt>(.*?)</dt>", block) == HEADS
    sentences = [unescape(text) for text in re.findall(r"<dd>(.*?)</dd>", block)]
    for sentence in sentences:
        assert re.fullmatch(r"[^.]*(\.(?! )[^.]*)*\.", sentence), "one sentence"
        assert not re.search(r"\b(None|nan)\b|  |\.\.|\b1 (tensors|matrices|pairs)\b", sentence)
    return sentences


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
        ({"above_rounding": False, "effective_bits": 4.2}, "as rounding to fewer bits makes them"),
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
        (first, "no measure changed beyond its error."),
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


def rows_of_pair(seed: int = 1) -> list[Row]:
    return rows_of_update(0.5, seed=seed)


def known_to_the_example() -> Diagnosis:
    """A diagnosis with guards, a judgement and places."""
    return ss.diagnosis.diagnose(rows_of_pair(), Calibration.load("example"))


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("narrow", "as few directions as those of runs on narrow data"),
        ("broad", "as many directions as those of runs on broad data"),
        ("not distinguishable", "both narrow and broad data are plausible"),
        ("unlike both", "neither narrow nor broad"),
        ("refused", "there is no answer"),
        ("no calibration", "stays open"),
    ],
)
def test_a_diagnosis_of_every_verdict(verdict: Any, words: str) -> None:
    positions = {"narrow": (0.0, 0.1), "broad": (1.0,)} if verdict == "narrow" else {}
    plain = replace(ss.diagnosis.diagnose(rows_of_pair()), verdict=verdict, positions=positions)
    examined, meaning, limits = sentences_of(page_of(plain))
    assert words in meaning
    assert ("3 reference runs" in examined) == (verdict == "narrow")
    assert "cannot name the data" in limits


def run_named(names: list[str]) -> RunDiagnosis:
    """Ten increments, the last four of which are spread over fewer directions."""
    shares = [0.56] * 6 + [0.5] * 4
    parts = [rows_of_update(share, seed=i) for i, share in enumerate(shares)]
    return ss.diagnosis.diagnose_increments(parts, names=names)


def test_increments_and_pairs_of_models_are_explained() -> None:
    run = run_named([f"a.{i} to b" for i in range(10)])
    assert run.text.startswith("From a.6 to b on each increment is spread over fewer directions: ")
    assert sentences_of(page_of(run))[1] == run.text.split(". ")[0] + "."
    pair = ss.diagnosis.diagnose(rows_of_pair(), against=rows_of_pair(2))
    assert "two models of one base" in sentences_of(page_of(pair))[0]


def evil_guards(result: Any) -> Any:
    """The guards of a result, each with markup as its name and its text."""
    assert result.guards
    return tuple(replace(guard, name=EVIL, text=EVIL) for guard in result.guards)


def evil_pages(kind: str) -> list[str]:
    """Pages of a result with markup wherever a text may come from a file."""
    if kind == "increments":
        return [page_of(run_named([EVIL] * 10))]
    if kind == "paired":
        calibration = Calibration.load("example")
        pair = ss.diagnosis.diagnose(rows_of_pair(), calibration, against=rows_of_pair(2))
        assert pair.calibrated is not None
        calibrated = replace(pair.calibrated, guards=evil_guards(pair.calibrated))
        return [page_of(replace(pair, names=(EVIL, EVIL), calibrated=calibrated))]
    known = known_to_the_example()
    assert known.judgement is not None
    evil = replace(
        known,
        name=EVIL,
        verdict="narrow",
        reasons=(EVIL,),
        guards=evil_guards(known),
        places=tuple(replace(place, text=EVIL) for place in known.places),
    )
    return [page_of(evil), page_of(evil, comparison=comparison_of(comparison_rows(2)))]


@pytest.mark.parametrize("kind", ["diagnosis", "increments", "paired"])
def test_names_from_files_are_text_on_the_page_of_a_diagnosis(kind: str) -> None:
    for text in evil_pages(kind):
        tags = Tags()
        tags.feed(text)
        assert "img" not in {tag for tag, _ in tags.tags}
        assert not [a for _, attributes in tags.tags for a in attributes if a.startswith("on")]
        assert "onerror='window.evil=1'" in tags.text
        assert tags.dangling() == set()
