# SPDX-License-Identifier: BSD-3-Clause
"""`sigmascope show` prints every saved result as the command that made it did."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from tests.support.changed import update, weights, written
from tests.support.command_line import invoke

import sigmascope as ss
from sigmascope.results import Scan


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two steps of a run: the second has changed a little."""
    folder, rng = tmp_path_factory.mktemp("models"), np.random.default_rng(0)
    names = [f"model.layers.{i}.mlp.{x}_proj.weight" for i in range(3) for x in ("up", "gate")]
    base = {name: weights(20, 12, rng, spikes=2) for name in names}
    results = []
    for step in (100, 200):
        base = {name: w + update(w, 0.05, rng, rank=2) for name, w in base.items()}
        results.append(written(folder / f"step-{step}", base))
    return results


COMMANDS = {
    "scan": (["scan", "{0}", "-q"], (".jsonl", ".csv", ".parquet")),
    "compare": (["compare", "{0}", "{1}", "-q"], (".jsonl", ".csv", ".parquet")),
    "trajectory": (["trajectory", "{0}", "{1}", "-q", "--seed", "0"], (".jsonl", ".csv")),
    "reference": (["reference", "{0}", "{1}", "-q", "--seed", "0"], (".jsonl", ".csv")),
    "place": (["reference", "{0}", "--place", "{1}", "-q", "--seed", "0"], (".jsonl", ".csv")),
}


SHORT = {"scan.csv", "compare.jsonl", "trajectory.jsonl", "reference.csv", "place.jsonl"}
"""Tables that the short tier prints again."""


@pytest.mark.parametrize(
    ("what", "suffix"),
    [
        pytest.param(
            what, suffix, id=what + suffix, marks=[pytest.mark.slow][what + suffix in SHORT :]
        )
        for what, (_, suffixes) in COMMANDS.items()
        for suffix in suffixes
    ],
)
def test_tables_are_printed_again(
    what: str, suffix: str, models: list[Path], tmp_path: Path
) -> None:
    arguments = [word.format(*models) for word in COMMANDS[what][0]]
    file = tmp_path / f"x{suffix}"
    status, first, err = invoke(*arguments, "--out", file)
    assert (status, err) == (0, "")
    status, again, _ = invoke("show", file)
    assert status == 0
    first = first.replace(f"Saved: {file}.\n", "")
    if suffix == ".csv" and what in ("scan", "compare"):  # has neither paths nor options
        assert "The file does not record the options of the run." in again
        again, first = (
            text[text.index("By role" if what == "scan" else "pair ") :] for text in (again, first)
        )
        again, first = again.partition("The file does")[0], first.partition("Effort ")[0]
    assert again == first


def test_a_page_is_made_of_a_saved_scan(models: list[Path], tmp_path: Path) -> None:
    file, page = tmp_path / "x.jsonl", tmp_path / "x.html"
    ss.scan(models[0], out=file)
    status, text, _ = invoke("show", file, "--out", page)
    assert status == 0
    assert text.splitlines()[-1] == f"Saved: {page}."
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_journal_that_a_kill_left_is_continued(models: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "a journal.jsonl"
    options = [
        "--effort",
        "top",
        "-k",
        "3",
        "--seed",
        "7",
        "--include",
        "*up*",
        "--include",
        "*.0.*",
    ]
    assert invoke("scan", models[0], "-q", *options, "--out", file)[0] == 0
    whole = file.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    file.write_text("".join(lines[:3]) + lines[3][:20], encoding="utf-8")
    status, text, _ = invoke("show", file)
    assert status == 1
    assert "interrupted after 2 of 6 tensors" in text
    command = text.splitlines()[-1]
    assert command.endswith(f"--resume '{file}'")
    words = shlex.split(command)
    status, _, err = invoke(*words[words.index("scan") :], "-q")
    assert (status, err) == (0, "")
    rows = Scan.load(file).rows
    assert len(rows) == 6
    again = ss.scan(models[0], effort="top", k=3, seed=7, include=["*up*", "*.0.*"]).rows
    for row in (*rows, *again):
        row["seconds"] = None
    assert rows == again


def test_a_part_of_a_scan_is_continued_with_every_option(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"model.layers.{i}.self_attn.{x}_proj.weight" for i in range(2) for x in "qk"]
    folder, file = tmp_path / "model", tmp_path / "x.jsonl"
    for name in ("model.fp16.safetensors", "model.safetensors"):  # of other numbers each
        written(folder, {name: weights(16, 16, rng, spikes=2) for name in names})
        (folder / "model.safetensors").rename(folder / name)
    config = {"num_attention_heads": 4, "num_key_value_heads": 4, "hidden_size": 16}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    options = ["--shard", "1/2", "--heads", "--variant", "fp16", "--effort", "exact", "-k", "3"]
    options += ["--accuracy", "fast", "--tol", "1e-2", "--seed", "7", "--measures", "alpha_farms"]
    options += ["--include", "*.0.*", "--exclude", "*[head 3]", "--vectors", str(tmp_path / "v")]
    assert invoke("scan", folder, "-q", *options, "--out", file)[0] == 0
    whole = Scan.load(file).rows
    assert len(whole) == 3
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:2]), encoding="utf-8")
    status, text, _ = invoke("show", file)
    assert status == 1
    words = shlex.split(text.splitlines()[-1])
    assert invoke(*words[words.index("scan") :], "-q")[::2] == (0, "")
    rows = Scan.load(file).rows
    for row in (*rows, *whole):
        row["seconds"] = None
    assert rows == whole


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.json", "{", "not JSON"),
        ("x.json", "[]", "not a result of sigmascope"),
        ("x.json", "{}", "not a result of sigmascope"),
        ("x.csv", "a,b\n1,2\n", "not a scan"),
        ("x.html", "<html>", "an HTML page cannot be loaded"),
        ("x.txt", "", "x.txt"),
        ("t.jsonl", "{}\n", "t.jsonl"),
    ],
    ids=[
        "broken JSON",
        "a list",
        "an empty record",
        "a table of another program",
        "a page",
        "an empty text",
        "an empty journal",
    ],
)
def test_other_files_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    status, out, err = invoke("show", file)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
