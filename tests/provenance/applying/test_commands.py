# SPDX-License-Identifier: BSD-3-Clause
"""The command ``sigmascope apply``, and saved results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.support.written_models import QUERY, bytes_of, make_adapter, make_model, make_tuned
from typer.testing import CliRunner

from sigmascope.provenance import Application, apply
from sigmascope.provenance.applying import commands


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a base, a model of it, and an adapter."""
    make_tuned(tmp_path / "tuned", make_model(tmp_path / "base"), 1)
    make_adapter(tmp_path / "adapter")
    return tmp_path


def called(folder: Path, *options: object, donor: str = "adapter") -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(commands.apply)
    arguments = [folder / "base", "--with", folder / donor, "--out", folder / "out", *options]
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_writes_what_the_function_writes(folder: Path) -> None:
    status, output, _ = called(folder, "--weights", ".5", "--dtype", "f32")
    assert status == 0
    assert "1 changed, 3 converted, 2 copied byte for byte." in " ".join(output.split())
    assert "Verification: confirmed" in output
    apply(folder / "base", folder / "same", folder / "adapter", weights=[0.5], dtype="f32")
    assert bytes_of(folder / "out") == bytes_of(folder / "same")


def test_two_donors_have_a_weight_each(folder: Path) -> None:
    pytest.importorskip("scipy")
    status, output, _ = called(folder, "--with", folder / "tuned", "--weights", ".5,.25", "--json")
    record = json.loads(output)
    assert status == 0
    assert record["weights"] == [0.5, 0.25]
    assert [Path(each).name for each in record["donors"]] == ["adapter", "tuned"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "1,2"], "2 weights for 1 donors"),
        (["--weights", "a half"], "give numbers"),
        (["--dtype", "f8"], "dtype must be"),
        (["--with", "/nowhere"], "/nowhere"),
    ],
)
def test_a_wrong_command_has_status_2(folder: Path, options: list[str], message: str) -> None:
    status, _, errors = called(folder, *options)
    assert status == 2
    assert message in errors
    assert not (folder / "out").exists()


def test_an_unconfirmed_folder_has_status_1(folder: Path) -> None:
    """A change of zero cannot be seen, so that nothing can be confirmed."""
    make_adapter(folder / "none", scale=0.0)
    status, output, _ = called(folder, donor="none")
    assert status == 1
    assert "The donors change nothing: every change is zero." in output
    assert "Verification: undetermined" in output


def test_an_interruption_has_status_130(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> Application:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "apply_changes", interrupt)
    status, _, errors = called(folder)
    assert status == 130
    assert "the same command continues" in errors


def test_results_are_saved_as_json(folder: Path) -> None:
    result = apply(folder / "base", folder / "out", folder / "adapter")
    result.save(folder / "result.json")
    record: dict[str, Any] = json.loads((folder / "result.json").read_text())
    assert record == json.loads(json.dumps(result.to_dict()))
    assert record["verification"]["verdict"] == record["verdict"] == "confirmed"
    row = next(row for row in record["rows"] if row["name"] == QUERY.format(0))
    assert row["survived"] == pytest.approx(row["expected"]["bf16"]["survived"], abs=0.1)
    assert row["expected"]["f32"]["survived"] == pytest.approx(1, abs=1e-4)
    assert repr(result).startswith("<Application: confirmed. ")
    with pytest.raises(ValueError, match=r"saved as .json"):
        result.save(folder / "result.csv")
