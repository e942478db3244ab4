# SPDX-License-Identifier: BSD-3-Clause
"""A sum of tiles added up once, in memory: not a bit of what is computed from it changes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support.bytes_read import bytes_read
from tests.support.coverings import grid
from tests.support.engine import bytes_of_copy, density_of_steps, layers, outer_product, tiles

import sigmascope as ss

SHAPES = [(96, 320), (320, 96), (77, 333), (640, 1056)]


def stored(shape: tuple[int, int], kind: Any, seed: int) -> Any:
    return (np.random.default_rng(seed).standard_normal(shape) * 0.02).astype(kind)


def difference(shape: tuple[int, int], kind: Any) -> ss.Matrix:
    """Subtract two close matrices: two bf16 parts if they are bf16, three if float32."""
    before = stored(shape, kind, 0)
    after = (before.astype(np.float32) + stored(shape, np.float32, 1) / 30).astype(kind)
    return ss.matrix(after) - ss.matrix(before)


def adapted(shape: tuple[int, int], kind: Any) -> ss.Matrix:
    """A matrix and six products of rank one: as many tiles, which lie over it."""
    m, n = shape
    rng = np.random.default_rng(2)
    A = ss.matrix(stored(shape, kind, 3))
    for _ in range(6):
        u, v = (rng.standard_normal(x).astype(np.float32) * 0.05 for x in (m, n))
        A = A + outer_product(u, v)
    return A


QUADRATURE = ("gauss_nodes", "gauss_weights", "radau_nodes", "residuals")


def assert_same_bits(one: dict[str, Any], other: dict[str, Any], *what: object) -> None:
    for name in QUADRATURE:
        assert one[name].tobytes() == other[name].tobytes(), (name, *what)
    assert one["fro2"] == other["fro2"]


@grid(
    shape=SHAPES,
    kind=[np.float32, np.float16, ml_dtypes.bfloat16],
    make=[difference, adapted],
    products=["full", "split"],
    strength=2,
)
def test_no_bit_changes(shape: tuple[int, int], kind: Any, make: Any, products: str) -> None:
    A = make(shape, kind)
    assert layers(A) > 1
    for B in (A, A.T):
        expected = density_of_steps(B, products=products)
        added = partial(density_of_steps, B, products=products, gather=True)
        for threads, panel in ((1, 0), (2, 0), (3, 40)):
            assert_same_bits(added(threads=threads, panel_rows=panel), expected, threads, panel)


def updated(shape: tuple[int, int]) -> ss.Matrix:
    """Return a training update of bf16 numbers: most of its entries are bf16, of few bits."""
    before = stored(shape, ml_dtypes.bfloat16, 0)
    update = stored(shape, np.float32, 1) / 90
    after = (before.astype(np.float32) + update).astype(ml_dtypes.bfloat16)
    left = np.asarray(after, np.float32) - np.asarray(before, np.float32)
    share = np.mean(left != left.astype(ml_dtypes.bfloat16).astype(np.float32))
    assert 0 < share < 1 / 64
    return ss.matrix(after) - ss.matrix(before)


@pytest.mark.skipif(
    not ss.show_config()["tiles"], reason="needs a processor with tiles (Intel AMX)"
)
@pytest.mark.parametrize("shape", [*SHAPES, (1100, 96), (64, 2100)], ids="{0[0]}x{0[1]}".format)
def test_what_bf16_leaves_of_a_change_is_kept_by_itself(shape: tuple[int, int]) -> None:
    """As good as both parts of every number, and no bit depends on who holds what."""
    A = updated(shape)
    for B in (A, A.T):
        full, split = (density_of_steps(B, products=products) for products in ("full", "split"))
        apart = partial(density_of_steps, B, products="split", separate=True)
        expected = apart()
        assert expected["gauss_nodes"].tobytes() != split["gauss_nodes"].tobytes()
        assert expected["reads"] == split["reads"] + 1
        off, off_split = (
            np.abs(one["gauss_nodes"] - full["gauss_nodes"]).max() for one in (expected, split)
        )
        assert off <= max(2 * off_split, 1e-6 * full["gauss_nodes"].max())
        for gather, threads, panel in ((True, 1, 0), (True, 3, 40), (False, 2, 40), (False, 1, 0)):
            other = apart(gather=gather, threads=threads, panel_rows=panel)
            assert_same_bits(other, expected, gather, threads)


@pytest.mark.parametrize("kind", [np.float32, np.float16], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("make", [difference, adapted], ids=lambda make: make.__name__)
def test_where_much_is_left_nothing_is_kept_by_itself(kind: Any, make: Any) -> None:
    A = make((320, 96), kind)
    expected = density_of_steps(A, products="split")
    for gather in (True, False):
        other = density_of_steps(A, products="split", separate=True, gather=gather)
        assert_same_bits(other, expected)


def test_matrices_that_are_not_sums_stay_as_they_are() -> None:
    a = stored((64, 96), np.float32, 0)
    A = ss.matrix(a)
    halves = ss.vstack([a[:32], a[32:]])
    assert layers(A) == layers(halves) == 1
    assert_same_bits(density_of_steps(A, gather=True), density_of_steps(A))
    assert bytes_of_copy(A) == 0


def test_it_is_held_where_it_pays() -> None:
    wide, tall = difference((96, 320), np.float32), difference((320, 96), np.float32)
    held = 4 * 320 * (96 + 64)  # along whichever side, in lines of the cache
    assert bytes_of_copy(wide) == held
    assert bytes_of_copy(wide, "float64") == 0
    assert bytes_of_copy(tall) == 0  # two tiles, and each step reads them once
    in_parts = held if ss.show_config()["tiles"] else 0  # which tiles want, and the cache
    assert bytes_of_copy(tall, "split") == in_parts
    shards = ss.vstack([tall[i : i + 32] for i in range(0, 320, 32)])  # in two layers
    assert tiles(shards) == 20
    assert bytes_of_copy(shards) == 0
    many = adapted((320, 96), np.float32)
    assert bytes_of_copy(many) == held


@pytest.mark.unsanitized
@pytest.mark.filterwarnings("ignore::sigmascope.errors.ConvergenceWarning")
def test_the_memory_changes_no_bit(tmp_path: Path) -> None:
    """In files: read again at each pass, or added up once."""
    shape = 600, 8_000
    parts = []
    for name, seed in (("before", 0), ("after", 1)):
        path = tmp_path / f"{name}.npy"
        np.save(path, stored(shape, np.float32, seed))
        parts.append(ss.matrix(path))
    A = parts[1] - parts[0]
    results, reads = [], []
    for limit in ("32MiB", "1GiB"):
        before = bytes_read()
        how: dict[str, Any] = {"block": 8, "max_passes": 4, "memory_limit": limit}
        results.append(ss.svds(A, 2, method="krylov", num_threads=2, **how))
        reads.append((bytes_read() - before) / (8 * shape[0] * shape[1]))
    again, once = results
    assert reads[1] < 3.1
    assert reads[0] > 4
    for name in ("U", "s", "Vt", "errors", "residuals"):
        assert getattr(again, name).tobytes() == getattr(once, name).tobytes(), name
