# SPDX-License-Identifier: BSD-3-Clause
"""`sigmascope show` prints what verify, lineage, check and apply saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.support.command_line import invoke
from tests.support.provenance_results import BASE, DONOR, RESULTS, half_way, in_layers, result_of

COMMANDS = {
    "verification": "verify {base} {layered} --with {donor} --expect weights=.5 -q",
    "check": "check {base} {half} --expect linear --expect relative<=.1 --with {donor}",
    "application": "apply {base} --with {donor} --weights .5 --out {written} -q",
    "pair": "lineage {base} {donor}",
    "group": "lineage {base} {donor} {half}",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model, one trained from it, and two merges of both."""
    folder = tmp_path_factory.mktemp("models")
    models = {"base": BASE, "donor": DONOR, "half": half_way(), "layered": in_layers(0.5, 0.25)}
    for name, model in models.items():
        contiguous = {key: np.ascontiguousarray(x) for key, x in model.items()}
        save_file(contiguous, folder / f"{name}.safetensors")
    paths = {name: folder / f"{name}.safetensors" for name in models}
    return paths | {"written": folder / "written"}


@pytest.mark.parametrize("kind", COMMANDS)
def test_show_prints_what_the_command_printed(
    kind: str, files: dict[str, Path], tmp_path: Path
) -> None:
    saved = tmp_path / "result.json"
    option = "--save" if kind == "application" else "--out"
    words = COMMANDS[kind].format(**files).split()
    _, first, err = invoke(*words, option, saved)
    assert err == ""
    assert len(first) > 100
    assert invoke("show", saved) == (0, first, "")


@pytest.mark.parametrize("kind", RESULTS)
def test_a_saved_result_becomes_its_page(kind: str, tmp_path: Path) -> None:
    saved, page, again = (tmp_path / name for name in ("x.json", "x.html", "again.html"))
    result_of(kind).save(saved)
    result_of(kind).save(page)
    status, text, err = invoke("show", saved, "--out", again)
    assert (status, err) == (0, "")
    assert text.splitlines()[-1] == f"Saved: {again}."
    assert again.read_bytes() == page.read_bytes()


def test_other_forms_of_a_saved_result_are_refused(tmp_path: Path) -> None:
    saved = tmp_path / "x.json"
    result_of("confirmed").save(saved)
    status, text, err = invoke("show", saved, "--out", tmp_path / "x.sarif")
    assert (status, text) == (2, "")
    assert "saved as .json or .html, not '.sarif'" in err
    assert not (tmp_path / "x.sarif").exists()


@pytest.mark.parametrize("kind", ["confirmed", "check", "application", "related", "group"])
def test_a_record_that_lacks_a_part_is_called_damaged(kind: str, tmp_path: Path) -> None:
    saved = tmp_path / "x.json"
    record = result_of(kind).to_dict()
    for key in ("sentences", "decisions", "pairs", "text"):
        record.pop(key, None)
    saved.write_text(json.dumps(record), encoding="utf-8")
    status, _, err = invoke("show", saved)
    assert status == 2
    assert f"{saved}: damaged, or saved by another version: KeyError" in err
