# SPDX-License-Identifier: BSD-3-Clause
"""Paths that are not UTF-8, and other than ASCII in a locale that knows no more: all works."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file

import sigmascope as ss
from sigmascope.errors import CheckpointError
from sigmascope.results import Comparison, Scan

BYTES = b"m\xe9\xff\xc3\xa9"
A = np.random.default_rng(0).standard_normal((12, 10))
LOCALES: dict[str, dict[str, str]] = {
    "of this process": {},
    "coerced to UTF-8": {"LC_ALL": "C"},
    "ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


def model(folder: Path, seed: int = 0) -> Path:
    made = folder / os.fsdecode(BYTES + str(seed).encode())
    made.mkdir()
    name = os.fsdecode(b"w\xe9\xc3\xa9.safetensors")
    write_file(made / name, of_array("w", "F64", A + seed * np.eye(12, 10)))
    return made


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_tables_keep_the_names(suffix: str, tmp_path: Path) -> None:
    folder = model(tmp_path)
    out = folder / f"{os.fsdecode(BYTES)}{suffix}"
    scan = ss.scan(folder, out=out)
    back = Scan.load(out)
    assert back.rows == scan.rows
    assert os.fsencode(back.rows[0]["file"]) == b"w\xe9\xc3\xa9.safetensors"
    if suffix != ".csv":
        assert os.fsencode(back.checkpoint) == os.fsencode(folder)
        json.loads(out.read_bytes().partition(b"\n")[0]) if suffix == ".jsonl" else None


def test_everything_else_takes_them(tmp_path: Path) -> None:
    before, after = model(tmp_path), model(tmp_path, 1)
    run = before / "run.jsonl"
    scan = ss.scan(before, resume=run)
    assert ss.scan(before, resume=run).rows == scan.rows
    ss.scan(before, shard=(0, 1), out=before / "part.jsonl")
    assert [row["file"] for row in ss.merge([before / "part.jsonl"]).rows] == [
        row["file"] for row in scan.rows
    ]
    comparison = ss.compare(before, after, out=[before / "x.html", before / "x.jsonl"])
    assert Comparison.load(before / "x.jsonl").rows == comparison.rows
    page = (before / "x.html").read_text(encoding="utf-8")
    assert "udce9" in page
    checkpoint = ss.open_checkpoint(before)
    matrix = pickle.loads(pickle.dumps(checkpoint["w"]))
    np.testing.assert_array_equal(np.asarray(matrix), A)
    np.save(before / "a.npy", A)
    for reading in ("buffered", "uncached", "mapped"):
        a = ss.tensor(before / "a.npy", 128, A.shape, "f64", reading=reading)
        np.testing.assert_array_equal(np.asarray(a), A)
    np.testing.assert_array_equal(np.asarray(ss.matrix(before / "a.npy")), A)


def test_errors_of_the_engine_name_them(tmp_path: Path) -> None:
    folder = model(tmp_path)
    with pytest.raises(FileNotFoundError) as absent:
        ss.tensor(folder / "none", 0, (2, 2), "f32")
    assert str(folder) in str(absent.value)
    (folder / "x").write_bytes(b"1")
    with pytest.raises(CheckpointError) as short:
        ss.tensor(folder / "x", 0, (2, 2), "f32")
    assert str(folder) in str(short.value)
    (folder / "x").write_bytes(bytes(16))
    kept = pickle.dumps(ss.tensor(folder / "x", 0, (2, 2), "f32"))
    (folder / "x").write_bytes(bytes(20))
    with pytest.raises(CheckpointError) as changed:
        pickle.loads(kept)
    assert str(folder) in str(changed.value)


@pytest.mark.parametrize(
    "locale",
    [
        pytest.param("of this process", marks=pytest.mark.slow),
        pytest.param("coerced to UTF-8", marks=pytest.mark.slow),
        "ASCII",
    ],
)
def test_commands_in_every_locale(locale: str, tmp_path: Path) -> None:
    """In one process: each ends as it should, and a path is the same text in what it writes."""
    before, after = model(tmp_path), model(tmp_path, 1)
    b, a = os.fsencode(before), os.fsencode(after)
    commands = [
        [b"info", b],
        [b"scan", b, b"--out", b + b"/o.jsonl", b"--out", b + b"/o.csv", b"--out", b + b"/o.html"],
        [b"scan", b, b"--resume", b + b"/o.jsonl"],
        [b"scan", b, b"--plan"],
        [b"compare", b, a, b"--out", b + b"/c.jsonl", b"--out", b + b"/c.html"],
        [b"info", b + b"/none"],
    ]
    code = """import os, sys
from sigmascope.__main__ import main
for line in sys.stdin.buffer.read().split(b"\\n"):
    try:
        sys.argv[1:] = [os.fsdecode(each) for each in line.split(b"\\0")]
        main()
    except SystemExit as end:
        print("ended", end.code, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=b"\n".join(b"\0".join(command) for command in commands),
        env=os.environ | LOCALES[locale],
        check=False,
        capture_output=True,
    )
    ends = [line for line in done.stderr.decode().splitlines() if line.startswith("ended")]
    assert ends == ["ended 0"] * 5 + ["ended 2"], done.stderr.decode(errors="replace")
    assert b"Traceback" not in done.stderr
    saved, here = Scan.load(before / "o.jsonl"), ss.scan(before)
    assert saved.checkpoint == here.checkpoint
    assert [row["file"] for row in saved.rows] == [row["file"] for row in here.rows]
