# SPDX-License-Identifier: BSD-3-Clause
"""Sums of more than 65,536 terms: blocks of so many, which are added as a binary tree."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.coverings import grid
from tests.support.engine import product
from tests.support.tiers import short

import sigmascope as ss

Array = NDArray[Any]
BLOCK = 65_536
KINDS = {"f64": np.float64, "f32": np.float32, "bf16": ml_dtypes.bfloat16}


def long_sums(A: ss.Matrix, y: Array) -> dict[str, Array]:
    """Return A^T y by rows of A, by rows of A^T, and as a search takes it, with dot products."""
    sums = {
        "adjoint": product(A, y, "adjoint"),
        "multiply": product(A.T, y, "multiply"),
        "step": product(A.T, y, "gram")[1],
    }
    if y.dtype == np.float32:
        sums["rounded"] = product(A.T, y, "multiply_bf16")
    return sums


def block_of(kind: str, rows: int, width: int, rng: np.random.Generator) -> Array:
    return rng.standard_normal((rows, width)).astype(np.float64 if kind == "f64" else np.float32)


def added_as_a_tree(sums: list[Array]) -> Array:
    """Add neighbours, then neighbours of these; one that is alone waits for the next level."""
    while len(sums) > 1:
        pairs = [a + b for a, b in zip(sums[::2], sums[1::2], strict=False)]
        sums = pairs + ([sums[-1]] if len(sums) % 2 else [])
    return sums[0]


@grid(kind=list(KINDS), width=[3, 20], order=["C", "F"])
def test_long_sums_are_trees_of_blocks(kind: str, width: int, order: Any) -> None:
    rng = np.random.default_rng(width)
    stored = np.asarray(rng.standard_normal((6 * BLOCK + 777, 3)).astype(KINDS[kind]), order=order)
    factors = block_of(kind, len(stored), width, rng)

    def sums_of(first: int, last: int) -> dict[str, Array]:
        return long_sums(ss.matrix(stored[first:last]), factors[first:last])

    whole = [sums_of(i, i + BLOCK) for i in range(0, 6 * BLOCK, BLOCK)]
    for blocks, rest in ((1, 1), (2, 0), (3, 5), (6, 777)):
        rows = blocks * BLOCK + rest
        parts = whole[:blocks] + ([sums_of(blocks * BLOCK, rows)] if rest else [])
        for name, sums in sums_of(0, rows).items():
            expected = added_as_a_tree([part[name] for part in parts])
            assert sums.tobytes() == expected.tobytes(), (name, rows)


@grid(kind=list(KINDS), block={"one by rows": (1, "C"), "20 by columns": (20, "F")})
def test_sums_of_equal_terms_are_off_as_those_of_one_block(
    kind: str, block: tuple[int, Any]
) -> None:
    """All roundings have one sign. In their order, 10^6 terms of 0.7 were off by 70 to 160."""
    width, order = block
    rows, unit = 1_000_003, 2.0**-53 if kind == "f64" else 2.0**-24
    for number in (0.7, 1 / 3) if width == 1 else (0.7,):
        term = np.array(number, KINDS[kind])
        A = ss.matrix(np.full((rows, 2), term, order=order))
        y = np.full((rows, width), term.astype(np.float64 if kind == "f64" else np.float32))
        for name, sums in long_sums(A, y).items():
            factor = term.astype(ml_dtypes.bfloat16) if name == "rounded" else term
            exact = rows * Fraction(float(factor)) ** 2
            off = max(abs(float(Fraction(float(x)) / exact - 1)) for x in np.unique(sums))
            assert off <= 48 * unit, name


@pytest.mark.parametrize("kind", short(["f32"], list(KINDS)))
@pytest.mark.unsanitized
def test_no_bit_of_a_long_sum_depends_on_threads_panels_or_files(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for shape in ((BLOCK + 100, 3), (3, BLOCK + 100)):
        stored = rng.standard_normal(shape).astype(KINDS[kind])
        path = tmp_path / "whole.bin"
        stored.tofile(path)
        memory, file = ss.matrix(stored), ss.tensor(path, 0, shape, kind)
        x, y = block_of(kind, shape[1], 5, rng), block_of(kind, shape[0], 5, rng)
        blocks = {"multiply": x, "adjoint": y, "gram": x, "split": x, "steer": x}
        for verb, block in blocks.items():
            if kind == "f64" and verb in ("split", "steer"):
                continue
            expected = np.vstack(product(memory, block, verb, threads=1))
            for A, threads, panel in ((memory, 5, 600), (file, 2, 0), (file, 5, 600)):
                image = np.vstack(product(A, block, verb, threads=threads, panel=panel))
                assert image.tobytes() == expected.tobytes(), (verb, threads, panel)
