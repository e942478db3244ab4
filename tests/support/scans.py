# SPDX-License-Identifier: BSD-3-Clause
"""Scans to compare: checkpoints of many small matrices, and the bits of their rows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.checkpoints import Stored, of_array, write_sharded

from sigmascope.scanning.rows import TIMING


def normal(name: str, *shape: int, seed: int = 0) -> Stored:
    """A tensor of standard normal numbers."""
    numbers = np.random.default_rng(seed).standard_normal(shape)
    return of_array(name, "F32", numbers.astype(np.float32))


def bits(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """All that every run must find: the rows without how they were come by."""
    return [{name: row[name] for name in row if name not in TIMING} for row in rows]


def model(folder: Path, count: int = 12) -> Path:
    """A folder of two shards: matrices of several sizes, one with a NaN, and other tensors."""
    bad = np.ones((6, 5), np.float32)
    bad[1, 2] = np.nan
    tensors = [normal(f"w.{i}", 20 + 13 * (i % 5), 30 + 7 * (i % 3), seed=i) for i in range(count)]
    first = [normal("norm", 9), *tensors[::2], of_array("bad", "F32", bad)]
    return write_sharded(
        folder,
        {
            "model-00001-of-00002.safetensors": first,
            "model-00002-of-00002.safetensors": [*tensors[1::2], normal("experts", 3, 8, 6)],
        },
    )
