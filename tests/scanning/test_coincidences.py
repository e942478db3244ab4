# SPDX-License-Identifier: BSD-3-Clause
"""Equal rows and columns of few distinct numbers are reported only beyond coincidences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gguf
import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.coverings import grid

import sigmascope as ss

Array = NDArray[np.float32]
ROUNDED: dict[str, Any] = {
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e2m1": ml_dtypes.float4_e2m1fn,
}
BLOCKS = ("Q8_0", "Q5_0", "Q4_0", "Q4_1")
DRAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]] = {
    "gaussian": lambda rng, shape: rng.standard_normal(shape),
    "heavy": lambda rng, shape: rng.standard_t(3, shape),
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
    "sparse": lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) < 0.3),
    "scaled rows": lambda rng, shape: (
        rng.standard_normal(shape) * rng.lognormal(0, 2, (shape[0], 1))
    ),
}


def stored(x: NDArray[Any], name: str) -> Array:
    """Return the numbers that a format stores for x."""
    if name in ROUNDED:
        return np.asarray(x.astype(ROUNDED[name]), np.float32)
    kind = getattr(gguf.GGMLQuantizationType, name)
    decoded: Array = gguf.dequantize(gguf.quantize(x.astype(np.float32), kind), kind)
    return decoded


def rows_of(matrices: dict[str, Array], *, turned: bool) -> list[dict[str, Any]]:
    """Return the rows of a scan of matrices, or of their transposes."""
    given = {name: np.ascontiguousarray(x.T if turned else x) for name, x in matrices.items()}
    rows = ss.scan(given, effort="top", k=1, num_threads=1).rows
    assert [row["status"] for row in rows] == ["analysed"] * len(matrices)
    return rows


def equal_columns(x: Array) -> int:
    """Count the columns that are equal to an earlier one."""
    return int(x.shape[1] - np.unique(x + 0.0, axis=1).shape[1])


SIDES = {"columns": False, "rows": True}


@grid(name=(*ROUNDED, *BLOCKS), turned=SIDES)
def test_coincidences_are_not_reported(name: str, turned: bool) -> None:
    matrices = {
        f"{seed}.{m}x{n}": stored(draw(np.random.default_rng([seed, m, n]), (m, n)), name)
        for seed, draw in enumerate(DRAWS.values())
        for m, n in ((1, 96), (2, 384), (3, 384), (4, 1024), (6, 160), (12, 512))
    }
    assert sum(map(equal_columns, matrices.values())) > 50
    for row in rows_of(matrices, turned=turned):
        assert (row["copied_rows"], row["copied_columns"]) == (0, 0), row["name"]


@grid(
    kind=("one copy", "32 equal", "160 zero", "all but 20 zero"),
    name=(*ROUNDED, *BLOCKS),
    turned=SIDES,
)
def test_copies_beyond_coincidences_are_reported(name: str, turned: bool, kind: str) -> None:
    matrices = {}
    for m in (24, 200):
        x = stored(np.random.default_rng(m).standard_normal((m, 320)), name)
        if kind == "one copy":
            x[:, 200] = x[:, 3]
        elif kind == "32 equal":
            x[:, :32] = x[:, :1]
        else:
            x[:, 160 if kind == "160 zero" else 20 :] = 0.0
        matrices[str(m)] = x
    expected = {"one copy": 1, "32 equal": 31, "160 zero": 159, "all but 20 zero": 299}
    for row in rows_of(matrices, turned=turned):
        assert row["copied_rows" if turned else "copied_columns"] == expected[kind]


@pytest.mark.parametrize("turned", SIDES.values(), ids=SIDES)
@pytest.mark.parametrize("copies", [9, 10])
def test_copies_are_reported_beyond_a_chance_of_one_in_a_million(copies: int, turned: bool) -> None:
    """In each row, 3 of the 15 pairs of distinct columns agree; in all three rows, 1 in 125 would.

    That is 0.84 pairs of 15 columns and 0.96 of 16, which are to explain 9 and 10 copies. Chernoff
    bounds their chances by exp(-13.2) and exp(-14.4); a millionth is exp(-13.8).
    """
    distinct = np.array([[1, 1, 2, 2, 3, 3], [4, 5, 4, 6, 5, 6], [7, 8, 9, 7, 9, 8]], np.float32)
    x = np.hstack([distinct, np.repeat(distinct[:, :1], copies, axis=1)])
    (row,) = rows_of({"w": x}, turned=turned)
    reported = row["copied_rows" if turned else "copied_columns"]
    assert (equal_columns(x), reported) == (copies, 0 if copies == 9 else copies)


@pytest.mark.parametrize("name", ["Q4_0", "Q8_0", "bf16"])
def test_an_embedding_of_two_tokens_is_an_ordinary_matrix(name: str) -> None:
    x = stored(0.05 * np.random.default_rng(0).standard_normal((2, 384)), name)
    (row,) = ss.scan({"embeddings.token_type_embeddings.weight": x}, k=2).rows
    assert (row["structure"], row["copied_columns"]) == (None, 0)


def test_two_equal_columns_of_many_digits_are_reported() -> None:
    """No coincidence explains equal numbers with 24 bits, not even in two rows."""
    x = np.random.default_rng(1).standard_normal((2, 384)).astype(np.float32)
    x[:, 100] = x[:, 7]
    (row,) = ss.scan({"w": x}, k=2).rows
    assert (row["structure"], row["copied_columns"]) == ("1 column equal to others", 1)
