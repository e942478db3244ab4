# SPDX-License-Identifier: BSD-3-Clause
"""A folder behind a server on the loopback, with short times between retries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.file_server import FileServer

from sigmascope.checkpoint.remote import requests, store
from sigmascope.matrices import byte_source


@contextmanager
def served(folder: Path, server: type[FileServer] = FileServer) -> Iterator[Any]:
    """A server of the files in a folder; retries come after milliseconds."""
    with pytest.MonkeyPatch.context() as patch, server(folder).running() as running:
        short = {"init_backoff": timedelta(seconds=0.005), "max_backoff": timedelta(seconds=0.05)}
        patch.setitem(store._RETRIES, "backoff", {**short, "base": 2})
        patch.setattr(store, "_PAUSE", 0.01)
        yield running


def ask_first_for(patch: pytest.MonkeyPatch, nbytes: int) -> None:
    """Make the first request of a file ask for so many bytes."""
    patch.setattr(store, "START", nbytes)


def read_in_pieces(patch: pytest.MonkeyPatch, least: int) -> None:
    """Divide a read among connections from so many bytes on."""
    patch.setattr(byte_source, "LEAST", least)


def retry(patch: pytest.MonkeyPatch, times: int) -> None:
    """Let a request that fails be made again so often."""
    patch.setitem(store._RETRIES, "max_retries", times)


def give_up_after(patch: pytest.MonkeyPatch, seconds: float, rate: int | None = None) -> None:
    """Average the bytes of an answer over so many seconds, and wait for that rate at least."""
    patch.setattr(requests, "PERIOD", seconds)
    if rate is not None:
        patch.setattr(requests, "LEAST_RATE", rate)


def whole_numbers(server: FileServer, start: str = "") -> int:
    """Bytes of the files whose name begins so."""
    return sum(path.stat().st_size for path in server.folder.glob(f"{start}*.safetensors"))
