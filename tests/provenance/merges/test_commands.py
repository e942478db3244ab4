# SPDX-License-Identifier: BSD-3-Clause
"""The command ``sigmascope verify``: exit statuses, outputs, and runs that go on."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.support.command_line import COMMAND, invoke
from tests.support.mergers import added_once, make_case
from tests.support.verified_merges import write_product

from sigmascope.provenance import verify


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of 40 tensors, one adapted, and files that are merged right, twice and not at all."""
    folder = tmp_path_factory.mktemp("files")
    case = make_case(2)
    base = {f"model.layers.{i}.self_attn.q_proj.weight": case.base.clone() for i in range(40)}
    write_product(folder / "adapter", case.donors[0])
    save_file(base, folder / "base.safetensors")
    first = "model.layers.0.self_attn.q_proj.weight"
    for name, weight in (("right", 1.0), ("twice", 2.0)):
        merged = added_once(case.base, case.donors, [weight]).to(torch.bfloat16)
        save_file(base | {first: merged}, folder / f"{name}.safetensors")
    save_file({first: base[first]}, folder / "part.safetensors")
    return folder


@pytest.mark.parametrize(
    ("merged", "options", "status"),
    [
        ("right", ["--expect", "adapter"], 0),
        ("right", [], 0),
        ("right", ["--expect", "adapter", "--expect", "identical"], 3),
        ("twice", ["--expect", "adapter"], 3),
        ("twice", [], 0),
        ("twice", ["--expect", "weights=2"], 0),
        ("twice", ["--expect", "adapter", "--tolerance", "1.01"], 0),
        ("base", ["--expect", "adapter"], 3),
        ("part", ["--expect", "rounding"], 4),
        ("part", ["--expect", "rounding", "--allow-undetermined"], 0),
        ("right", ["--expect", "wrong"], 2),
        ("nothing", [], 2),
    ],
)
def test_the_status_tells_the_verdict(
    files: Path, merged: str, options: list[str], status: int
) -> None:
    arguments = files / "base.safetensors", files / f"{merged}.safetensors"
    assert invoke("verify", *arguments, "--with", files / "adapter", *options)[0] == status


def test_tensors_that_stand_out_are_listed(files: Path) -> None:
    paths = files / "base.safetensors", files / "part.safetensors"
    status, output, _ = invoke("verify", *paths, "--expect", "rounding")
    assert status == 4
    assert "rounding: undetermined" in output
    assert "model.layers.39.self_attn.q_proj.weight" not in output  # twenty are listed
    assert "and 19 more, which --json and --out list" in output
    assert "39 unpaired" in output


def test_json_is_what_is_saved(files: Path, tmp_path: Path) -> None:
    paths = files / "base.safetensors", files / "right.safetensors"
    options = "--with", files / "adapter", "--out", tmp_path / "x.json", "--json"
    status, output, _ = invoke("verify", *paths, *options)
    assert status == 0
    assert json.loads(output) == json.loads((tmp_path / "x.json").read_text())
    assert json.loads(output)["verdict"] == "confirmed"


def operands(files: Path) -> list[Any]:
    return [files / "base.safetensors", files / "right.safetensors", files / "adapter"]


def test_a_run_that_ended_early_goes_on_to_the_same_bytes(files: Path, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    expected = verify(*operands(files), expect="adapter", resume=whole)
    lines = whole.read_bytes().splitlines(keepends=True)
    for count, torn in ((1, b""), (1, lines[1][:40]), (17, b"{"), (41, b"")):
        part.write_bytes(b"".join(lines[:count]) + torn)
        result = verify(*operands(files), expect="adapter", resume=part)
        assert part.read_bytes() == whole.read_bytes()
        assert result.to_dict() == expected.to_dict()
    part.write_bytes(lines[0][:30])
    verify(*operands(files), expect="adapter", resume=part)
    assert part.read_bytes() == whole.read_bytes()


def test_an_error_in_the_listener_keeps_the_rows(files: Path, tmp_path: Path) -> None:
    journal, seen = tmp_path / "run.jsonl", []

    def stop(row: dict[str, object]) -> None:
        seen.append(row)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(*operands(files), resume=journal, progress=stop)
    assert len(journal.read_bytes().splitlines()) == 6
    assert len(verify(*operands(files), resume=journal).rows) == 40


def test_the_journal_of_another_verification_is_refused(files: Path, tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    verify(*operands(files), expect="adapter", resume=journal)
    base, _, donor = operands(files)
    kept = journal.read_bytes()
    with pytest.raises(ValueError, match=r"run.jsonl is the journal of another .*: its merged is"):
        verify(base, files / "twice.safetensors", donor, expect="adapter", resume=journal)
    with pytest.raises(ValueError, match=r"another verification: its claim is \[1.0\]"):
        verify(*operands(files), expect="weights=2", resume=journal)
    assert journal.read_bytes() == kept
    header = json.loads(kept.splitlines()[0])
    del header["format"]  # as before rows had terms
    journal.write_text(json.dumps(header) + "\n")
    with pytest.raises(ValueError, match=r"run.jsonl was begun by another version of sigmascope"):
        verify(*operands(files), expect="adapter", resume=journal)
    for content in (b"other\n", b'{"kind": "scan"}\n', b"x"):
        journal.write_bytes(content)
        with pytest.raises(ValueError, match=r"run.jsonl is not the journal of a verification"):
            verify(*operands(files), resume=journal)
        assert journal.read_bytes() == content
    journal.write_bytes(kept.splitlines(keepends=True)[0] + b"x\n")
    with pytest.raises(ValueError, match=r"run.jsonl: line 2 is not a row"):
        verify(*operands(files), expect="adapter", resume=journal)


@pytest.mark.slow
def test_a_killed_command_goes_on(files: Path, tmp_path: Path) -> None:
    base, merged, donor = operands(files)
    journal = tmp_path / "run.jsonl"
    command = [*COMMAND, "verify", base, merged, "--with", donor, "--resume", journal]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not (journal.exists() and journal.stat().st_size > 9000):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    rows = len(journal.read_bytes().splitlines())
    assert rows >= 1
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    whole = tmp_path / "whole.jsonl"
    verify(base, merged, donor, resume=whole)
    assert journal.read_bytes() == whole.read_bytes()
