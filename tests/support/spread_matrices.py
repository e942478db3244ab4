# SPDX-License-Identifier: BSD-3-Clause
"""Matrices in files to spread over workers, in small blocks, and all that their results say."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support import known_spectra as ks

import sigmascope as ss
from sigmascope._execution import workers

SHAPES = {"tall": (1400, 260), "wide": (230, 1500), "square": (900, 900)}


def in_file(folder: Path, shape: tuple[int, int], kind: Any = ml_dtypes.bfloat16) -> ss.Matrix:
    """Like trained weights, in one file."""
    values = ks.llm(*shape)[0].astype(kind)
    path = folder / f"{shape[0]}x{shape[1]}.bin"
    path.write_bytes(values.tobytes())
    dtype = "bf16" if kind is ml_dtypes.bfloat16 else f"f{8 * values.itemsize}"
    return ss.tensor(path, 0, shape, dtype)


def numbers(result: Any) -> list[bytes]:
    """All that a result says of the matrix, but not how long it took."""
    results = []
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if dataclasses.is_dataclass(value):
            results += numbers(value)
        elif field.name not in ("seconds", "num_threads"):
            results.append(
                value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            )
    return results


def cut_finely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small matrices have several blocks of rows, too."""
    monkeypatch.setattr(workers, "_ELEMENTS", (1, 2**26))
    monkeypatch.setattr(workers, "_ROWS", 256)


def blocks_of(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the first row of each block of a matrix, and the row after its last."""
    return list(workers.row_blocks(shape))
