# SPDX-License-Identifier: BSD-3-Clause
"""The example calibration shows what an answer looks like, and no output passes it off as real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.regimes.example import example_of
from tests.support.changed import update, weights, written
from tests.support.command_line import invoke
from tests.support.html_pages import comparison_of, page_of
from tests.support.made_rows import comparison_rows
from tests.support.screens import screen, shown

import sigmascope as ss
from sigmascope.diagnosis import Calibration
from sigmascope.diagnosis.terminal import show_diagnosis

HERE = Path(__file__).parent
RUNS = json.loads((HERE / "runs.json").read_text(encoding="utf-8"))["others"]
LABEL = "example calibration: not from your kind of run"
NOTHING = "Example calibration: not from your kind of run, so this verdict means nothing"


@pytest.fixture(scope="module")
def example() -> Calibration:
    return Calibration.load("example")


def rows_of(regime: str, group: str = "increments") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = next(
        run["rows"] for run in RUNS if (run["group"], run["regime"]) == (group, regime)
    )
    return rows


def test_the_shipped_file_is_what_the_experiment_gives(example: Calibration) -> None:
    made = example_of(Calibration.load(HERE / "regimes.json"))
    assert [(run.group, run.label) for run in made.runs] == [
        (run.group, run.label) for run in example.runs
    ]
    assert example.score.weights == pytest.approx(made.score.weights, rel=1e-6)
    for run, other in zip(made.runs, example.runs, strict=True):
        assert dict(other.update.places) == pytest.approx(dict(run.update.places), rel=1e-6)
    assert example.example
    assert repr(example).startswith("Calibration(example, 20 narrow and 20 broad runs")


def test_its_error_rate_allows_answers(example: Calibration) -> None:
    rate = example.error_rate()
    assert (rate.wrong, rate.undecided, rate.runs) == (0, 0, 40)


@pytest.mark.parametrize("regime", ["benchmark", "broad"])
def test_every_output_of_an_answer_says_so(
    regime: str, example: Calibration, tmp_path: Path
) -> None:
    answer = ss.diagnosis.diagnose(rows_of(regime), example)
    assert answer.verdict == {"benchmark": "narrow", "broad": "broad"}[regime]
    record = answer.to_dict()
    assert answer.example
    assert record["example"] is True
    assert answer.text.startswith(NOTHING)
    assert record["reasons"][0].startswith(NOTHING)
    out = screen(100)
    show_diagnosis(out, record)
    assert LABEL in shown(out).splitlines()[0]
    html = page_of(answer)
    assert html.count(LABEL) >= 1
    assert "by the example calibration" in html
    assert "Nothing for this model" in html
    assert NOTHING in page_of(answer, comparison=comparison_of(comparison_rows(1)))
    assert answer.plot().get_title() == LABEL
    answer.save(tmp_path / "answer.json")
    assert json.loads((tmp_path / "answer.json").read_text())["example"] is True


def test_a_refusal_by_the_example_shows_what_an_answer_would_read(example: Calibration) -> None:
    answer = ss.diagnosis.diagnose(
        rows_of("broad", "third of the rate"), example, recipe={"rate": 0.0005}
    )
    assert answer.verdict == "refused"
    assert answer.reasons[0].startswith(NOTHING)
    assert answer.reasons[-1].startswith("If it applied, the answer would be: number 0 ")


def test_pairs_of_models_say_so(example: Calibration) -> None:
    pair = ss.diagnosis.diagnose(rows_of("benchmark"), example, against=rows_of("broad"))
    record = pair.to_dict()
    assert record["reasons"][0].startswith(NOTHING)
    assert record["calibrated"]["example"] is True
    assert "by the example calibration" in page_of(pair)


def test_calibrations_of_ones_own_are_not_called_examples(
    example: Calibration, tmp_path: Path
) -> None:
    own = Calibration.load(HERE / "regimes.json")
    answer = ss.diagnosis.diagnose(rows_of("broad"), own)
    out = screen(100)
    show_diagnosis(out, answer.to_dict())
    html = page_of(answer)
    assert "example" not in f"{own!r} {answer.text} {shown(out)} {answer.plot().get_title()}"
    assert "example calibration" not in html
    assert answer.to_dict()["example"] is False
    example.save(tmp_path / "copy.json")
    assert Calibration.load(tmp_path / "copy.json").example, "a copy stays an example"


def test_a_file_named_example_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Calibration.load("example").example
    Calibration.load(HERE / "regimes.json").save("example")
    assert not Calibration.load("example").example


def test_the_command_line_takes_the_example_by_name(tmp_path: Path) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    names = [f"model.layers.{i}.mlp.{x}_proj.weight" for i in range(4) for x in ("up", "down")]
    base = {name: weights(16, 12, rng, spikes=2) for name in names}
    tuned = {name: w + update(w, 0.05, rng, rank=2) for name, w in base.items()}
    pair = tmp_path / "pair.jsonl"
    paths = written(tmp_path / "base", base), written(tmp_path / "tuned", tuned)
    ss.compare(*paths, effort="exact", out=pair)
    status, text, _ = invoke("diagnose", pair, "--calibration", "example")
    assert status == 0
    assert LABEL in " ".join(text.split())[:200]  # in the first sentence, which may be wrapped
    status, text, _ = invoke("diagnose", pair, "--reference", "example", "--json")
    assert json.loads(text)["example"] is True
    status, _, error = invoke("diagnose", pair, "--calibration", "example", "--fail-on", "refused")
    assert status == 2
    assert "the example cannot give a verdict" in error
    html = tmp_path / "page.html"
    status, text, _ = invoke("compare", *paths, "-q", "--calibration", "example", "--out", html)
    assert LABEL in " ".join(text.split())
    assert LABEL in html.read_text(encoding="utf-8")
    status, text, _ = invoke("diagnose", pair)
    assert text.startswith("What can be measured without reference runs")
    assert "--calibration example" in text
    assert not any(line.isupper() for line in text.splitlines())
