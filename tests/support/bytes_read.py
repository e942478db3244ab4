# SPDX-License-Identifier: BSD-3-Clause
"""What this process reads, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path

import pytest

_COUNTS = Path("/proc/self/io")


def bytes_read() -> int:
    """By this process, through system calls; where nobody counts that, the test is skipped."""
    if not _COUNTS.exists():
        pytest.skip("Linux counts what is read")
    text = _COUNTS.read_text(encoding="ascii")
    return int(text.split("rchar: ")[1].split()[0])
