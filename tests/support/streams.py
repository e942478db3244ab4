# SPDX-License-Identifier: BSD-3-Clause
"""Rows to accumulate, the four accumulators, and all that each says, as bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from sigmascope.streaming import GramAccumulator, LinearSketch, MomentsAccumulator, Sketch

N_COLS, K = 40, 6
N_ROWS = 60
Accumulator = Any


def blocks_of(count: int = 9, seed: int = 0) -> list[NDArray[Any]]:
    """Row blocks of different heights, scales and dtypes."""
    rng = np.random.default_rng(seed)
    decay = np.arange(1, N_COLS + 1) ** -1.0
    kinds = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16]
    return [
        (rng.standard_normal((int(rng.integers(1, N_ROWS)), N_COLS)) * decay * 3.0**scale).astype(
            kinds[scale % 4]
        )
        for scale in range(count)
    ]


def as_bytes(*parts: Any) -> tuple[bytes, ...]:
    return tuple(np.asarray(part).tobytes() for part in parts)


def bits(sketch: Sketch) -> tuple[bytes, ...]:
    result = sketch.svd()
    assert result.Vt is not None
    return as_bytes(result.s, result.Vt, result.residuals, result.errors, result.fro_norm)


def linear_bits(sketch: LinearSketch) -> tuple[bytes, ...]:
    result = sketch.svd()
    return as_bytes(result.U, result.s, result.Vt, result.errors, *sketch.residual_norm())


def gram_bits(gram: GramAccumulator) -> tuple[bytes, ...]:
    every, top = gram.svdvals(), gram.svd(2)
    return as_bytes(every.values, every.errors, every.fro_norm, top.s, top.Vt, top.residuals)


def moments_bits(moments: MomentsAccumulator) -> tuple[bytes, ...]:
    """But for what is told in the order of arrival."""
    r = moments.result()
    numbers = r.count, r.zeros, r.nan, r.inf, r.min, r.max, r.mean, r.std, r.skewness, r.kurtosis
    return as_bytes(numbers, r.fro_norm, r.column_norms, r.histogram is None, r.shape)


class Kind(NamedTuple):
    make: Callable[..., Accumulator]
    add: Callable[..., Any]
    """A block of rows, to the accumulator, and options of an update."""
    bits: Callable[[Accumulator], tuple[bytes, ...]]


KINDS: dict[str, Kind] = {
    "Sketch": Kind(
        lambda seed=3: Sketch(N_COLS, K, seed=seed),
        lambda a, block, **on: a.update(block, **on),
        bits,
    ),
    "LinearSketch": Kind(
        lambda seed=3: LinearSketch((N_ROWS, N_COLS), K, seed=seed),
        lambda a, block, **on: a.update(block, row=0, **on),
        linear_bits,
    ),
    "GramAccumulator": Kind(
        lambda seed=3: GramAccumulator(N_COLS),
        lambda a, block, **on: a.update(block, **on),
        gram_bits,
    ),
    "MomentsAccumulator": Kind(
        lambda seed=3: MomentsAccumulator(N_COLS, row_norms=True),
        lambda a, block, **on: a.update(block, **on),
        moments_bits,
    ),
}
