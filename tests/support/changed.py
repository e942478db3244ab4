# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of checkpoints of known change: noise with spikes, an update of known rank, as stored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tests.support.checkpoints import Stored, write_file

Array = NDArray[np.float64]


def bf16(x: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Codes of the nearest bf16 numbers, ties to even."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def numbers(codes: NDArray[np.uint16]) -> Array:
    """The numbers of bf16 codes."""
    return (codes.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def stored(name: str, x: NDArray[np.floating], dtype: str = "BF16") -> Stored:
    """A tensor in one of the formats that need no scale."""
    kinds = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
    array = bf16(x) if dtype == "BF16" else x.astype(kinds[dtype])
    return Stored(name, dtype, x.shape, array.tobytes())


def low_rank(m: int, n: int, values: NDArray[np.floating], rng: np.random.Generator) -> Array:
    """A matrix of these singular values."""
    left = np.linalg.qr(rng.standard_normal((m, len(values))))[0]
    right = np.linalg.qr(rng.standard_normal((n, len(values))))[0]
    return np.asarray((left * values) @ right.T)


def weights(m: int, n: int, rng: np.random.Generator, spikes: int = 8) -> Array:
    """Noise of deviation 0.02, and spikes of 2 edge i^-0.5."""
    edge = 0.02 * (m**0.5 + n**0.5)
    strength = 2 * edge * np.arange(1, spikes + 1) ** -0.5
    return 0.02 * rng.standard_normal((m, n)) + low_rank(m, n, strength, rng)


def update(w: Array, size: float, rng: np.random.Generator, rank: int = 16) -> Array:
    """A change of that rank, or less in a smaller matrix, and of the norm size ||W||."""
    d = low_rank(*w.shape, np.linspace(1.2, 0.8, min(rank, *w.shape)), rng)
    return d * (size * np.linalg.norm(w) / np.linalg.norm(d))


def written(folder: Path, tensors: Mapping[str, NDArray[np.floating]], dtype: str = "BF16") -> Path:
    """A checkpoint of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / "model.safetensors", *(stored(n, x, dtype) for n, x in tensors.items()))
    return folder
