# SPDX-License-Identifier: BSD-3-Clause
"""The folder of a written checkpoint: its journal, and files next to the weights."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from sigmascope import Checkpoint
from sigmascope.extension import replacing
from sigmascope.provenance.merges.journal import Journal

from .plan import side_files
from .shards import Row, Shard, write_text

JOURNAL = ".sigmascope-apply.jsonl"

VERIFIED = ".sigmascope-verify.jsonl"

OF_AN_APPLICATION = "sigmascope application journal", "an application", "another application"

WORDS = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


class OutputFolder:
    """A folder that gets the files of one run, which may be killed and continued.

    Parameters
    ----------
    path
        The folder.
    header
        What is written: files of base and donors, weights and options.
    resume
        Whether an unfinished run may be continued.

    Raises
    ------
    ValueError
        If the folder holds other files, or an unfinished run of other operands.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        journal = path / JOURNAL
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is not a folder")
        if path.exists() and not journal.exists() and any(path.iterdir()):
            raise ValueError(f"{path} already holds files; give a new folder")
        if journal.exists() and not resume:
            raise ValueError(f"{path} holds an unfinished run; resume=True continues it")
        self._journal = Journal(journal, header, OF_AN_APPLICATION)
        self.rows: dict[str, Row] = {row["name"]: row for row in self._journal.rows}

    @property
    def verified(self) -> Path:
        """The journal of the verification."""
        return self.path / VERIFIED

    @contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """Open the journal for further rows; no other process may have it open.

        Raises
        ------
        ValueError
            If another process writes to the folder.
        OSError
            If the folder cannot be written to.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self._journal.writing() as file:
            assert file is not None
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{self.path}: another process writes to this folder") from None
            yield file

    def check_space(self, shards: Sequence[Shard]) -> None:
        """Raise OSError if the files to write do not fit on the disk."""
        paths = [path for shard in shards for path in (shard.path, shard.partial)]
        there = sum(path.stat().st_size for path in paths if path.exists())
        needed = sum(shard.nbytes for shard in shards) - there
        free = shutil.disk_usage(self.path).free
        if needed > free:
            text = f"{needed:,} bytes are needed, {free:,} are free"
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {text}", str(self.path))

    def copy_side_files(self, base: Checkpoint, dtype: str | None) -> list[str]:
        """Copy configuration and tokenizer; config.json gets the format of the weights."""
        names = []
        for source in side_files(base):
            target = self.path / source.name
            if source.name == "config.json" and dtype is not None:
                text = source.read_text(encoding="utf-8")
                write_text(target, _with_dtype(text, WORDS[dtype]))
            else:
                with replacing(target, alone=True) as temporary:
                    shutil.copyfile(source, temporary)
            names.append(source.name)
        return names

    def close(self) -> None:
        """Remove the journals: the folder is complete."""
        (self.path / VERIFIED).unlink(missing_ok=True)
        (self.path / JOURNAL).unlink(missing_ok=True)


def check_other_folder(out: Path, base: Checkpoint) -> None:
    """Raise ValueError if the folder is that of the base."""
    for path in base.files:
        if isinstance(path, Path) and out.resolve() in (path.parent.resolve(), path.resolve()):
            raise ValueError(f"{out} holds the base; give another folder")


def _with_dtype(text: str, dtype: str) -> str:
    config = json.loads(text)
    if not isinstance(config, dict):
        return text
    for part in (config, *(each for each in config.values() if isinstance(each, dict))):
        for key in ("torch_dtype", "dtype"):
            if isinstance(part.get(key), str):
                part[key] = dtype
    return json.dumps(config, indent=2) + "\n"
