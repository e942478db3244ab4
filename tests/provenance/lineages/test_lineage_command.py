# SPDX-License-Identifier: BSD-3-Clause
"""The command lineage: text, JSON, files and exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from tests.support.checkpoints import of_array, write_file
from tests.support.lineage_models import Weights, random_model, tuned
from typer.testing import CliRunner

from sigmascope.provenance.lineages.commands import ABSTAINED, lineage, read_layers

A, B = random_model(1), random_model(2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    models: dict[str, Weights] = {"a": A, "b": tuned(A, 1), "c": B}
    for name, weights in models.items():
        arrays = [of_array(key, "F32", x) for key, x in weights.items()]
        write_file(tmp_path / f"{name}.safetensors", *arrays)
    return tmp_path


def invoke(*arguments: str) -> tuple[int, str, str]:
    application = typer.Typer()
    application.command()(lineage)
    result = CliRunner().invoke(application, arguments)
    return result.exit_code, " ".join(result.stdout.split()), result.stderr


def test_a_pair_prints_its_verdict_and_tests(folder: Path) -> None:
    status, text, errors = invoke("a.safetensors", "b.safetensors", "--out", "pair.json")
    assert (status, errors) == (0, "")
    assert text.startswith("related layers Layers 0-1 share an origin (p <= 1e-")
    assert "Two files have no direction" in text
    record = json.loads((folder / "pair.json").read_text())
    status, text, _ = invoke("a.safetensors", "b.safetensors", "--json")
    assert json.loads(text) == record


def test_several_checkpoints_print_groups(folder: Path) -> None:
    status, text, _ = invoke("a.safetensors", "b.safetensors", "c.safetensors", "--tests", "U")
    assert status == 0
    assert text.endswith("A group has no direction and no parent.")
    assert text.count("No common origin found") == 2


def test_a_fingerprint_stands_for_a_checkpoint(folder: Path) -> None:
    assert invoke("a.safetensors", "--fingerprint", "a.npz") == (0, "", "")
    status, text, _ = invoke("a.npz", "b.safetensors", "--layers", "0-1", "--units", "0")
    assert status == 0
    assert text.startswith("related layers")


def test_abstention_has_its_own_status(folder: Path) -> None:
    status, text, _ = invoke("a.safetensors", "b.safetensors", "--tests", "H")
    assert status == ABSTAINED
    assert text.startswith("abstain No test applies.")


def test_wrong_options_are_explained(folder: Path) -> None:
    for arguments, message in (
        (["a.safetensors"], "name another, or --fingerprint"),
        (["a.safetensors", "b.safetensors", "--tests", "U,Q"], "choose some of U, N"),
        (["a.safetensors", "b.safetensors", "--layers", "x"], "is not a layer, nor a range"),
        (["a.safetensors", "b.safetensors", "--fingerprint", "x.npz"], "takes one checkpoint"),
    ):
        status, _, errors = invoke(*arguments)
        assert status == 2
        assert message in " ".join(errors.split())
    assert read_layers("0, 3-5") == [0, 3, 4, 5]
