# SPDX-License-Identifier: BSD-3-Clause
"""Random pairs of models of every kind of tensor, of which a random part was changed.

What is expected follows from the stored numbers alone, decoded here by NumPy and ml_dtypes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support.checkpoints import Stored
from tests.support.stored_types import STORED_FLOATS

FLOATS: dict[str, Any] = dict(STORED_FLOATS)
WHOLE: dict[str, Any] = {
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "U16": np.uint16,
    "U32": np.uint32,
    "U64": np.uint64,
    "BOOL": np.bool_,
}
SHAPES = [(), (1,), (7,), (300,), (1, 1, 5), (6, 5), (24, 16)]
AMOUNTS = [0.01, 0.5, 1.0, 30.0]
"""Size of the change, relative to every number that is changed."""


@dataclass(frozen=True)
class Pair:
    """One tensor of both models, as it is stored."""

    name: str
    dtype: str
    before: NDArray[Any]
    after: NDArray[Any]

    @property
    def matrix(self) -> bool:
        return self.before.ndim == 2 and self.dtype in FLOATS

    @property
    def same(self) -> bool:
        return bool(np.all(self.before == self.after))

    @property
    def clear(self) -> bool:
        """Whether the change is far above what rounding may do."""
        if self.dtype in WHOLE:
            return not self.same
        x, y = (a.astype(np.float64) for a in (self.before, self.after))
        unit = float(ml_dtypes.finfo(FLOATS[self.dtype]).eps)
        if self.matrix and self.dtype.startswith("F8"):  # codes that may have scales: as a whole
            return bool(np.linalg.norm(y - x) > 4 * unit * np.linalg.norm(abs(x) + abs(y)))
        return bool(np.any(abs(y - x) > 2.1 * unit * np.maximum(abs(x), abs(y))))

    def stored(self, side: str) -> Stored:
        array = getattr(self, side)
        return Stored(self.name, self.dtype, array.shape, np.ascontiguousarray(array).tobytes())


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """One tensor: of a random kind, as it was, or changed at some or all of its places."""
    dtype = draw(st.sampled_from([*FLOATS, *WHOLE]))
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    part = draw(st.sampled_from([0.0, 0.0, 0.2, 1.0]))
    places = rng.random(shape) < part
    if dtype in WHOLE:
        before = rng.integers(0, 2 if dtype == "BOOL" else 100, shape).astype(WHOLE[dtype])
        after = np.where(places, ~before if dtype == "BOOL" else before + 1, before)
        return Pair("", dtype, before, after.astype(WHOLE[dtype]))
    scale = draw(st.sampled_from([0.0, 0.02, 1.0, 3.0]))
    exact = scale * (1.0 + rng.random(shape)) * rng.choice([-1.0, 1.0], shape)
    before = np.asarray(exact).astype(FLOATS[dtype])
    amount = draw(st.sampled_from(AMOUNTS))
    after = np.where(places, before.astype(np.float64) * (1 + amount), before.astype(np.float64))
    return Pair("", dtype, before, np.asarray(after).astype(FLOATS[dtype]))


@st.composite
def models(draw: st.DrawFn) -> list[Pair]:
    """Several tensors, each with a name that tells nothing of its role."""
    result = draw(st.lists(pairs(), min_size=1, max_size=6))
    return [Pair(f"t{i}", pair.dtype, pair.before, pair.after) for i, pair in enumerate(result)]
