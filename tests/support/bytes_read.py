# SPDX-License-Identifier: BSD-3-Clause
"""Bytes that this process reads, as the kernel counts them."""

from __future__ import annotations

from pathlib import Path

import pytest

_COUNTS = Path("/proc/self/io")


def bytes_read() -> int:
    """Count the bytes read so far, through system calls; skip the test where nobody counts them."""
    if not _COUNTS.exists():
        pytest.skip("Linux counts what is read")
    text = _COUNTS.read_text(encoding="ascii")
    return int(text.split("rchar: ")[1].split()[0])
