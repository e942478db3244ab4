# SPDX-License-Identifier: BSD-3-Clause
"""Runs that are interrupted, killed or out of space go on, and end with equal bytes."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.support.killed_runs import killed_at_every_operation
from tests.support.mergers import generator
from tests.support.verified_merges import write_product
from tests.support.written_models import QUERY, bytes_of, make_adapter, make_model

from sigmascope.provenance import apply
from sigmascope.provenance.applying.folder import JOURNAL

RUN = """
import sys
from sigmascope.provenance import apply
from sigmascope.provenance.applying import shards

shards.SYNCED = 1
base, out, adapter = sys.argv[1:]
apply(base, out, adapter, shard_size="400KB")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a base of six tensors, an adapter, and what apply makes of them."""
    make_model(tmp_path / "base")
    make_adapter(tmp_path / "adapter", layer=1)
    applied(tmp_path, "whole")
    return tmp_path


def applied(folder: Path, out: str = "out", size: str = "2KB", **options: Any) -> Any:
    return apply(folder / "base", folder / out, folder / "adapter", shard_size=size, **options)


def journal_lines(folder: Path) -> int:
    return len((folder / "out" / JOURNAL).read_bytes().splitlines())


@pytest.mark.parametrize("tensor", range(6))
def test_an_interrupted_run_goes_on(folder: Path, tensor: int) -> None:
    rows: list[Any] = []

    def stop(row: dict[str, Any]) -> None:
        rows.append(row)
        if len(rows) == tensor + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        applied(folder, progress=stop)
    assert journal_lines(folder) == tensor + 2
    again: list[Any] = []
    result = applied(folder, progress=again.append)
    assert len(again) == 5 - tensor
    assert result.confirmed
    assert len(result.rows) == 6
    assert bytes_of(folder / "out") == bytes_of(folder / "whole")


@pytest.mark.parametrize("kept", [0, 1, 50, 900])
def test_bytes_that_were_lost_are_written_again(folder: Path, kept: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        applied(folder, size="5GB", progress=interrupt_at(4))
    partial = folder / "out/model.safetensors.partial"
    os.truncate(partial, kept)
    with (folder / "out" / JOURNAL).open("ab") as file:
        file.write(b'{"name": "model.lay')
    assert applied(folder, size="5GB").confirmed
    applied(folder, "single", size="5GB")
    assert bytes_of(folder / "out") == bytes_of(folder / "single")


def interrupt_at(count: int) -> Any:
    rows: list[Any] = []

    def stop(row: dict[str, Any]) -> None:
        rows.append(row)
        if len(rows) == count:
            raise KeyboardInterrupt

    return stop


def test_a_run_of_other_options_is_refused(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        applied(folder, progress=interrupt_at(2))
    before = bytes_of(folder / "out")
    with pytest.raises(ValueError, match="another application: its weights is"):
        applied(folder, weights=[2.0])
    with pytest.raises(ValueError, match="another application: its dtype is"):
        applied(folder, dtype="f32")
    with pytest.raises(ValueError, match="resume=True continues it"):
        applied(folder, resume=False)
    assert bytes_of(folder / "out") == before


def test_a_full_disk_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    sync = os.fsync

    def full(file: int) -> None:
        nonlocal count
        count += 1
        if count > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*safetensors") as error:
        applied(folder)
    assert error.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert (folder / "out/model-00001-of-00003.safetensors").exists()
    assert applied(folder).confirmed
    assert bytes_of(folder / "out") == bytes_of(folder / "whole")


def test_a_file_that_the_system_refuses_is_named(folder: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large.*partial"):
            applied(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert applied(folder).confirmed
    assert bytes_of(folder / "out") == bytes_of(folder / "whole")


def test_a_folder_that_cannot_be_made_is_an_error(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        applied(folder, "file/out")


KILLED = """
from sigmascope.provenance import apply

def run(out, base, adapter):
    apply(base, out, adapter, dtype="f32", shard_size="8KB")
"""


@pytest.mark.slow
def test_a_run_killed_before_any_operation_goes_on(folder: Path) -> None:
    operands = folder / "base", folder / "adapter"
    folders = killed_at_every_operation(KILLED, folder / "runs", *operands)
    whole = bytes_of(folders[-1])
    assert len(folders) > 40
    assert {"config.json", "model.safetensors.index.json"} < whole.keys()
    for each in folders:
        assert bytes_of(each) == whole, each


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_killed_process_goes_on(tmp_path: Path, seed: int) -> None:
    random_times = random.Random(seed)
    numbers = generator(seed)
    tensors = {QUERY.format(i): torch.randn(256, 700, generator=numbers) for i in range(24)}
    (tmp_path / "base").mkdir()
    save_file(tensors, tmp_path / "base/model.safetensors")
    a, b = torch.randn(8, 700, generator=numbers), 0.01 * torch.randn(256, 8, generator=numbers)
    for layer in (0, 20):
        write_product(
            tmp_path / "adapter", (a, b, 1.0), QUERY.format(layer).removesuffix(".weight")
        )
    apply(tmp_path / "base", tmp_path / "whole", tmp_path / "adapter", shard_size="400KB")
    out = tmp_path / "out"
    command = [sys.executable, "-c", RUN, tmp_path / "base", out, tmp_path / "adapter"]
    lines = 1
    for _ in range(4):
        target = lines + random_times.randint(1, 4)
        with subprocess.Popen(command) as process:
            while process.poll() is None and lines < target:
                time.sleep(0.001)
                lines = journal_lines(tmp_path) if (out / JOURNAL).exists() else lines
            time.sleep(random_times.uniform(0.0, 0.02))
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    assert lines > 4
    subprocess.run(command, check=True)
    assert bytes_of(out) == bytes_of(tmp_path / "whole")
