# SPDX-License-Identifier: BSD-3-Clause
"""`sigmascope calibrate` and `diagnose` as users meet them: text, JSON, pages, exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from tests.support.changed import update, weights, written
from tests.support.command_line import assert_defaults_are_those_of, commands, invoke
from tests.support.updates import rows_of_update

import sigmascope as ss
from sigmascope.diagnosis import Calibration, diagnose_increments
from sigmascope.results import Comparison

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "diagnosis.schema.json"
LEVELS = {"narrow": 0.53, "broad": 0.56}


def saved(path: Path, share: float, seed: int, **options: Any) -> Path:
    """A saved comparison whose update has this spread."""
    rows = rows_of_update(share, seed=seed, **options)
    table = Comparison(
        before="base", after=path.stem, options={}, rows=rows, expected=len(rows), engine={}
    )
    table.save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve runs of two bases, and the file that lists them."""
    folder = tmp_path_factory.mktemp("runs")
    listed = '[recipe]\noptimizer = "adamw"\nlr = 1e-3\n'
    for base in range(2):
        for i in range(3):
            for label, share in LEVELS.items():
                name = f"{label}-{base}-{i}.jsonl"
                seed = 100 * base + 10 * i + (label == "broad")
                saved(folder / name, share * (1 + 0.01 * base), seed)
                listed += f'\n[[run]]\ncomparison = "{name}"\nlabel = "{label}"\n'
                listed += f'group = "base{base}"\n'
    (folder / "runs.toml").write_text(listed, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def reference(folder: Path) -> Path:
    """The calibration of these runs."""
    status, text, errors = invoke("calibrate", folder / "runs.toml", "--out", folder / "c.json")
    assert status == 0, errors
    assert "6 narrow and 6 broad runs" in text
    assert "0 of 12 verdicts were wrong" in " ".join(text.split())
    return folder / "c.json"


@pytest.mark.parametrize("label", LEVELS)
def test_a_verdict_is_printed_and_decides_the_status_on_request(
    reference: Path, label: str, tmp_path: Path
) -> None:
    pair = saved(tmp_path / "new.jsonl", LEVELS[label], 77)
    words = (pair, "--reference", reference, "--group", "base0", "--recipe", "lr=1e-3")
    status, text, _ = invoke("diagnose", *words)
    assert status == 0
    assert text.startswith(label.capitalize())
    assert f"lies where {label} data would put it" in " ".join(text.split())
    assert "What this cannot say:" in text
    for word in LEVELS:
        expected = 3 if word == label else 0
        assert invoke("diagnose", *words, "--fail-on", word)[0] == expected


def test_another_recipe_is_refused_with_both_values(reference: Path, tmp_path: Path) -> None:
    pair = saved(tmp_path / "new.jsonl", 0.53, 77)
    status, text, _ = invoke("diagnose", pair, "--reference", reference, "--recipe", "lr=3e-4")
    assert status == 0
    assert text.startswith("No answer: the calibration does not apply")
    assert "lr = 0.0003 where the calibration has 0.001" in " ".join(text.split())
    assert invoke("diagnose", pair, "--reference", reference, "--recipe", "lr")[0] == 2


def test_every_kind_of_answer_as_json_and_as_a_page(reference: Path, tmp_path: Path) -> None:
    check = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    one, two = (saved(tmp_path / f"{i}.jsonl", s, 70 + i) for i, s in enumerate((0.53, 0.56)))
    series = [saved(tmp_path / f"step{i}.jsonl", 0.5, 80 + i) for i in range(8)]
    for kind, words in {
        "calibrated": (one, "--reference", reference),
        "none": (one,),
        "paired": (one, "--against", two),
        "calibrated pair": (one, "--against", two, "--reference", reference),
        "increments": series,
    }.items():
        page = tmp_path / f"{kind}.html"
        status, text, errors = invoke("diagnose", *words, "--json", "--out", page)
        assert status == 0, errors
        record = json.loads(text)
        assert not list(check.iter_errors(record))
        html = page.read_text(encoding="utf-8")
        assert html.startswith("<!doctype html>")
        assert "script-src 'none'" in html
        assert "{{" not in html
        assert html.count("<svg") >= ("pair" not in kind)
        printed = invoke("diagnose", *words)[:2]
        assert printed[0] == 0
        saved_record = tmp_path / f"{kind}.json"
        saved_record.write_text(text, encoding="utf-8")
        assert invoke("show", saved_record) == (*printed, "")
        assert invoke("show", saved_record, "--out", page)[0] == 0
        assert page.read_text(encoding="utf-8") == html


def test_the_level_that_is_asked_for_is_that_of_the_answer(
    folder: Path, reference: Path, tmp_path: Path
) -> None:
    one, two = (saved(tmp_path / f"{i}.jsonl", s, 70 + i) for i, s in enumerate((0.53, 0.56)))
    series = [saved(tmp_path / f"step{i}.jsonl", 0.5, 80 + i) for i in range(8)]
    for words in (
        (one,),
        (one, "--reference", reference),
        (one, "--against", two),
        (one, "--against", two, "--reference", reference),
        series,
    ):
        status, text, errors = invoke("diagnose", *words, "--alpha", 0.2, "--json")
        assert status == 0, errors
        assert json.loads(text)["alpha"] == 0.2
    calibration = Calibration.load(reference)
    for alpha in (0.2, 0.001):
        rate, level = calibration.error_rate(alpha), ("--alpha", alpha)
        listed = (folder / "runs.toml", "--out", tmp_path / "again.json", *level)
        assert (
            rate.to_dict().items() <= json.loads(invoke("calibrate", *listed, "--json")[1]).items()
        )
        for command in (("calibrate", *listed), ("show", reference, *level)):
            assert rate.text() in " ".join(invoke(*command)[1].split())
    assert calibration.error_rate(0.2).text() != calibration.error_rate(0.001).text()


def test_the_increments_that_do_not_count_are_marked(tmp_path: Path) -> None:
    series = [saved(tmp_path / f"step{i}.jsonl", 0.5, 80 + i) for i in range(8)]
    record = json.loads(invoke("diagnose", *series, "--json")[1])
    assert 0 < record["left_out"] < 8
    lines = invoke("diagnose", *series)[1].splitlines()
    for i, name in enumerate(record["names"]):
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        assert line.rstrip().endswith("left out") == (i < record["left_out"])


def test_what_excludes_each_other_is_refused(reference: Path, tmp_path: Path) -> None:
    pair = saved(tmp_path / "new.jsonl", 0.53, 77)
    for words in (
        (pair, pair, "--reference", reference),
        (pair, pair, "--against", pair),
        (pair, pair, "--recipe", "lr=1e-3"),
        (pair, pair, "--fail-on", "narrow"),
        (pair, "--against", pair, "--group", "base0"),
        (pair, "--against", pair, "--fail-on", "narrow"),
    ):
        status, _, errors = invoke("diagnose", *words)
        assert status == 2
        assert "cannot be used with" in " ".join(errors.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[run]\n", "not a TOML file"),
        ("a = 1\n", "no table [[run]]"),
        ('[[run]]\nlabel = "narrow"\n', "run 1 has no comparison and no group"),
        ('[[run]]\ncomparison = "x.jsonl"\ngroup = "a"\n', "x.jsonl"),
    ],
)
def test_a_wrong_list_of_runs_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "runs.toml").write_text(text, encoding="utf-8")
    status, _, errors = invoke("calibrate", tmp_path / "runs.toml", "--out", tmp_path / "c.json")
    assert status == 2
    assert message in errors.replace("\n", "")
    assert not (tmp_path / "c.json").exists()


def test_a_comparison_has_the_diagnosis_in_its_page(tmp_path: Path, reference: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"model.layers.{i}.self_attn.{x}_proj.weight" for i in range(4) for x in "qkvo"]
    base = {name: weights(24, 24, rng, spikes=2) for name in names}
    tuned = {name: w + update(w, 0.1, rng, rank=6) for name, w in base.items()}
    one, two = written(tmp_path / "one", base, "F32"), written(tmp_path / "two", tuned, "F32")
    page = tmp_path / "page.html"
    words = (one, two, "--effort", "exact", "--out", page, "-q", "--reference", reference)
    status, text, errors = invoke("compare", *words)
    assert status == 0, errors
    assert "No answer: the calibration does not apply" in text  # of another width
    html = page.read_text(encoding="utf-8")
    assert "How narrow was the data?" in html
    assert html.index("Findings") < html.index("How narrow was the data?")
    status, text, _ = invoke("compare", *words, "--recipe", "lr=3e-4")
    assert "lr = 0.0003 where the calibration has 0.001" in " ".join(text.split())
    assert invoke("compare", *words, "--json")[0] == 2
    status, text, _ = invoke("compare", one, one, "--effort", "exact", "--reference", reference)
    assert status == 0
    assert "No diagnosis: no matrix of an attention or MLP layer changed" in " ".join(text.split())


def test_the_plot_has_a_row_for_every_place(reference: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    pair = saved(tmp_path / "new.jsonl", 0.53, 77)
    diagnosis = ss.diagnosis.diagnose(pair, Calibration.load(reference))
    ax = diagnosis.plot()
    assert len(ax.get_yticklabels()) == len(diagnosis.places) == 16
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["narrow runs", "broad runs", "this model"]


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("show", [Calibration.error_rate]),
        ("calibrate", [Calibration.error_rate]),
        ("diagnose", [ss.diagnosis.diagnose, diagnose_increments]),
    ],
)
def test_options_have_the_defaults_of_the_library(name: str, calls: list[Any]) -> None:
    assert_defaults_are_those_of(calls, commands()[name], {})
