# SPDX-License-Identifier: BSD-3-Clause
"""The timeline of an upload: when threads fill a buffer, and when the link empties it.

``python -m tests.support.upload_timeline`` draws it. The order of copies and waits is that of the
code, as the simulator lists it. Their times are modelled: a thread of the host copies
`FILLED` bytes in a second, the link `LINKED`.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np

import sigmascope as ss

FILLED = 10e9
LINKED = 50e9
"""Bytes in a second: of one thread that copies to pinned memory, and of PCIe 5."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A buffer: seconds in which it is filled, and in which it is copied to the device."""

    nbytes: int
    filled: tuple[float, float]
    copied: tuple[float, float]


def list_uploads(module: ModuleType, nbytes: int, threads: int) -> list[tuple[int, int]]:
    """Return the copies and waits of one product of a matrix of zeros in bf16."""
    module.simulator.restart(counted_blocks=1, timing="eager", memory=80 << 30)
    a = ss.matrix(np.zeros((nbytes // 8192, 4096), ml_dtypes.bfloat16))
    options: dict[str, Any] = {"load_bytes": 0, "progress": None, "device_bytes": 1 << 33}
    module.product(
        a.native,
        "multiply",
        np.zeros((4096, 1), np.float32),
        transposed=False,
        f64=False,
        panel_rows=0,
        threads=threads,
        device=0,
        **options,
    )
    assert module.simulator.violation() == ""
    return list(module.simulator.uploads())


def model_timeline(uploads: list[tuple[int, int]], threads: int) -> list[Copied]:
    """Give each copy its times: the host fills and waits in turn, the link copies in order."""
    host = link = 0.0
    copies: list[Copied] = []
    for nbytes, awaited in uploads:
        if nbytes == 0:  # a wait
            host = max(host, copies[awaited - 1].copied[1] if awaited else 0.0)
            continue
        begin, host = host, host + nbytes / (threads * FILLED)
        start = max(host, link)
        link = start + nbytes / LINKED
        copies.append(Copied(nbytes, (begin, host), (start, link)))
    return copies


def draw(copies: list[Copied], seconds_of_character: float) -> str:
    """Draw a line for each buffer: f while it is filled, c while it is copied."""
    lines = []
    for copied in copies:
        begin, full, start, end = (
            round(at / seconds_of_character) for at in (*copied.filled, *copied.copied)
        )
        lines.append(
            " " * begin + "f" * (full - begin) + "." * (start - full) + "c" * (end - start)
        )
    return "\n".join(lines)


def main() -> None:
    from tests.support.cuda_module import load

    module = load()
    for threads in (1, 4):
        copies = model_timeline(list_uploads(module, 96 << 20, threads), threads)
        nbytes, seconds = sum(copied.nbytes for copied in copies), copies[-1].copied[1]
        print(f"{threads} threads: {nbytes / seconds / 1e9:.1f} GB/s, 1 character = 100 us")
        print(draw(copies, 1e-4) + "\n")


if __name__ == "__main__":
    main()
