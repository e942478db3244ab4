# SPDX-License-Identifier: BSD-3-Clause
"""Pages of diagnoses: the three sentences, names from files, numbers at axes."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
from tests.support.html_pages import EVIL, Tags, comparison_of, page_of, sentences_of
from tests.support.made_rows import Row, comparison_rows
from tests.support.updates import rows_of_update

import sigmascope as ss
from sigmascope.diagnosis import Calibration, Diagnosis, RunDiagnosis


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
        ("no calibration", "remains unknown"),
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
    assert run.text.startswith("From a.6 to b on, each increment is spread over fewer directions: ")
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


@pytest.fixture(scope="module")
def known() -> Diagnosis:
    """A diagnosis with a position between the levels of narrow and broad runs."""
    return ss.diagnosis.diagnose(rows_of_update(0.5), Calibration.load("example"))


@pytest.mark.parametrize(
    ("low", "high"),
    [(53.0, 53.0), (53.0, 53.0 + 1e-13), (0.0, 1.0), (53, 53.00001), (-2, 70), (5, 6)],
)
def test_numbers_of_the_strips_of_a_diagnosis_differ(
    known: Diagnosis, low: float, high: float
) -> None:
    assert known.judgement is not None
    judgement = replace(known.judgement, position=low, interval=(low, low))
    page = page_of(
        replace(
            known,
            verdict="narrow",
            judgement=judgement,
            positions={"narrow": (high,), "broad": ()},
        )
    )
    strips = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    (svg,) = [each for each in strips if "Position of the score" in each]
    texts = re.findall(r"class='tick'[^>]*>([^<]*)<", svg)
    assert 2 <= len(texts) <= 12
    assert len(set(texts)) == len(texts)
    assert all(math.isfinite(float(text)) for text in texts)
