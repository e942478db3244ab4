# SPDX-License-Identifier: BSD-3-Clause
"""The modes in which files are read, and the bytes that a reader of headers and scales gets."""

from __future__ import annotations

from pathlib import Path

from sigmascope._host.files import read_span

READINGS = ("buffered", "uncached", "mapped")


def span_of(path: Path, offset: int, count: int, reading: str) -> bytes:
    """A few bytes of a file, as scales and vectors are read."""
    return read_span(path, offset, count, reading)
