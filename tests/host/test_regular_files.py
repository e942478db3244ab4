# SPDX-License-Identifier: BSD-3-Clause
"""Pipes, devices, sockets and folders where files are expected: refused, never waited for."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.support.adapters import lora, write_adapter
from tests.support.checkpoints import Stored, write_file
from tests.support.gguf_files import write_gguf

import sigmascope as ss
from sigmascope.adapters import open_adapter
from sigmascope.errors import CheckpointError
from sigmascope.results import Scan
from sigmascope.streaming import GramAccumulator

ROOT = Path(__file__).parents[2] / "python" / "sigmascope"
B, A = np.eye(6, 4, dtype=np.float32), np.eye(4, 5, dtype=np.float32)


def model(folder: Path) -> None:
    write_file(folder / "model.safetensors", Stored("w", "F32", (6, 4)))
    (folder / "config.json").write_text("{}")


def adapter(folder: Path) -> None:
    write_adapter(folder, lora("q_proj", B, A))


def scanned(folder: Path) -> None:
    model(folder)
    ss.scan(folder, out=[folder / f"x{suffix}" for suffix in (".jsonl", ".csv", ".parquet")])


def streamed(folder: Path) -> None:
    np.save(folder / "x.npy", B)
    GramAccumulator(4).update(B).save(folder / "x.npz")


def sharded(folder: Path) -> None:
    write_file(folder / "a.safetensors", Stored("w", "F32", (6, 4)))
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"w": "a.safetensors"}}')


def quantised(folder: Path) -> None:
    write_gguf(folder / "x.gguf", {"w": ("F32", B)})


def ruled(folder: Path) -> None:
    model(folder)
    (folder / "rules.toml").write_text("modules = []")


CASES: list[tuple[Callable[[Path], None], str, Callable[[Path], object]]] = [
    (model, "model.safetensors", ss.open_checkpoint),
    (model, "model.safetensors", lambda folder: ss.open_checkpoint(folder / "model.safetensors")),
    (sharded, "a.safetensors", ss.open_checkpoint),
    (sharded, "model.safetensors.index.json", ss.open_checkpoint),
    (adapter, "adapter_config.json", open_adapter),
    (adapter, "adapter_model.safetensors", open_adapter),
    (adapter, "adapter_config.json", ss.scan),
    (ruled, "rules.toml", lambda folder: ss.open_checkpoint(folder, rules=folder / "rules.toml")),
    (quantised, "x.gguf", ss.open_checkpoint),
    (quantised, "x.gguf", lambda folder: ss.open_checkpoint(folder / "x.gguf")),
    (scanned, "x.jsonl", lambda folder: Scan.load(folder / "x.jsonl")),
    (scanned, "x.csv", lambda folder: Scan.load(folder / "x.csv")),
    (scanned, "x.parquet", lambda folder: Scan.load(folder / "x.parquet")),
    (scanned, "x.jsonl", lambda folder: ss.merge([folder / "x.jsonl"])),
    (scanned, "x.jsonl", lambda folder: ss.scan(folder, resume=folder / "x.jsonl")),
    (streamed, "x.npy", lambda folder: ss.matrix(folder / "x.npy")),
    (streamed, "x.npy", lambda folder: ss.open_checkpoint(folder / "x.npy")),
    (streamed, "x.npz", lambda folder: GramAccumulator.load(folder / "x.npz")),
]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the path of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


@pytest.mark.parametrize("put", [pipe, device, bound])
@pytest.mark.parametrize(
    ("build", "name", "read"),
    CASES,
    ids=[f"{build.__name__}: {name} ({i})" for i, (build, name, _) in enumerate(CASES, 1)],
)
def test_paths_that_are_not_regular_files_are_refused_at_once(
    build: Callable[[Path], None],
    name: str,
    read: Callable[[Path], object],
    put: Callable[[Path], None],
    tmp_path: Path,
) -> None:
    build(tmp_path)
    (tmp_path / name).unlink()
    put(tmp_path / name)
    with pytest.raises(CheckpointError, match=rf"{name}: not a regular file but a ") as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("put", [pipe, device, bound, Path.mkdir])
def test_a_config_that_is_not_a_regular_file_is_noted(
    put: Callable[[Path], None], tmp_path: Path
) -> None:
    model(tmp_path)
    (tmp_path / "config.json").unlink()
    put(tmp_path / "config.json")
    (note,) = ss.open_checkpoint(tmp_path).notes
    assert "config.json not used" in note
    assert "not a regular file but a " in note


@pytest.mark.parametrize("put", [pipe, device, bound, Path.mkdir])
def test_the_engine_opens_regular_files_alone(put: Callable[[Path], None], tmp_path: Path) -> None:
    put(tmp_path / "x")
    for reading in ("buffered", "uncached", "mapped"):
        with pytest.raises((CheckpointError, OSError), match=r"x: (not a|No such|Is a)"):
            ss.tensor(tmp_path / "x", 0, (2, 2), "f32", reading=reading)


def test_links_to_regular_files_are_read(tmp_path: Path) -> None:
    scanned(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("model.safetensors", "config.json", "x.jsonl"):
        shutil.move(tmp_path / name, elsewhere / name)
        (tmp_path / name).symlink_to(elsewhere / name)
    assert list(ss.open_checkpoint(tmp_path)) == ["w"]
    assert Scan.load(tmp_path / "x.jsonl").complete


def test_a_file_that_becomes_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Between the look at its kind and the opening of it."""
    path = tmp_path / "x.npy"
    path.write_bytes(b"1")
    regular = os.stat(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.MonkeyPatch.context() as patch:
        real = os.stat
        patch.setattr(os, "stat", lambda at: real(at) if isinstance(at, int) else regular)
        with pytest.raises(CheckpointError, match="not a regular file but a pipe"):
            ss.matrix(path)


def test_a_file_at_the_limit_of_bytes_is_read(tmp_path: Path) -> None:
    ruled(tmp_path)
    rules = tmp_path / "rules.toml"
    rules.write_text('modules = [["q", "w"]]'.ljust(1_000_000))
    assert ss.open_checkpoint(tmp_path, rules=rules).roles["w"].role == "q"
    rules.write_text('modules = [["q", "w"]]'.ljust(1_000_001))
    words = r"rules\.toml: 1000001 bytes, above the limit of 1000000 bytes"
    with pytest.raises(CheckpointError, match=words):
        ss.open_checkpoint(tmp_path, rules=rules)


def test_scans_write_to_pipes_and_are_not_resumed_from_them(tmp_path: Path) -> None:
    """In a process of its own, which is ended if it waits."""
    model(tmp_path)
    os.mkfifo(tmp_path / "x.jsonl")
    code = f"""import resource, signal, sys
signal.alarm(120)
import sigmascope as ss
ss.scan({str(tmp_path)!r}, out={str(tmp_path / "x.jsonl")!r})
try:
    ss.scan({str(tmp_path)!r}, resume={str(tmp_path / "x.jsonl")!r})
except ss.errors.CheckpointError as error:
    sys.exit(3)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 3, done.stderr


def test_nothing_of_a_user_is_opened_elsewhere() -> None:
    """Readers of the package open files through `_host.files`; others write, or know their file."""
    known = {
        "_host/memory.py": 1,  # /proc/meminfo
        "_host/files.py": 2,
        "streaming/accumulator.py": 1,  # writes
        "_tables/saving.py": 2,  # writes
        "_tables/journal.py": 3,  # writes
        "series/tables.py": 1,  # writes
        "series/monitoring/record.py": 1,  # appends
        "checkpoint/formats/safetensors_output.py": 2,  # writes
        "cli/exits.py": 1,  # the null device
        "cli/demo.py": 2,  # its own files in the user's cache
    }
    seen = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text(encoding="utf-8")
        calls = text.count(" open(") + text.count("os.open(") + text.count(".read_bytes()")
        calls += text.count("(open(") + text.count("np.load(file") + text.count("np.load(path")
        calls += text.count("read_table(path)") * ("parquet" in text)
        if calls and not name.startswith("bench/"):
            seen[name] = calls
    assert seen == known
