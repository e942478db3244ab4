# SPDX-License-Identifier: BSD-3-Clause
"""A sum of tiles added up once, in memory: not a bit of what is computed from it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import sigmascope as ss
from sigmascope import _core
from sigmascope._execution.options import CallOptions
from sigmascope._execution.reading import copy_nbytes
from sigmascope.matrices.joins import outer

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
        A = A + outer(u, v)
    return A


def native(a: ss.Matrix, **options: Any) -> dict[str, Any]:
    run = {"threads": 2, "panel_rows": 0, "load_bytes": 0, "progress": None} | options
    block = min(16, *a.shape)
    found: dict[str, Any] = _core.density(a._native, block=block, steps=4, seed=1, f64=False, **run)
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("make", [difference, adapted])
@pytest.mark.parametrize("products", ["full", "split"])
def test_no_bit_changes(shape: tuple[int, int], kind: Any, make: Any, products: str) -> None:
    A = make(shape, kind)
    assert A._native.layers > 1
    for B in (A, A.T):
        expected = native(B, products=products)
        for threads, panel in ((1, 0), (2, 0), (3, 40)):
            found = native(B, products=products, gather=True, threads=threads, panel_rows=panel)
            for name in ("gauss_nodes", "gauss_weights", "radau_nodes", "residuals"):
                assert found[name].tobytes() == expected[name].tobytes(), (name, threads, panel)
            assert found["fro2"] == expected["fro2"]


def updated(shape: tuple[int, int]) -> ss.Matrix:
    """Return a training update of bf16 numbers: most of its entries are bf16, of few bits."""
    before = stored(shape, ml_dtypes.bfloat16, 0)
    update = stored(shape, np.float32, 1) / 90
    after = (before.astype(np.float32) + update).astype(ml_dtypes.bfloat16)
    left = np.asarray(after, np.float32) - np.asarray(before, np.float32)
    share = np.mean(left != left.astype(ml_dtypes.bfloat16).astype(np.float32))
    assert 0 < share < 1 / 64
    return ss.matrix(after) - ss.matrix(before)


QUADRATURE = ("gauss_nodes", "gauss_weights", "radau_nodes", "residuals")


@pytest.mark.skipif(not _core.config()["tiles"], reason="needs a processor with tiles (Intel AMX)")
@pytest.mark.parametrize("shape", [*SHAPES, (1100, 96), (64, 2100)])
def test_what_bf16_leaves_of_a_change_is_kept_by_itself(shape: tuple[int, int]) -> None:
    """As good as both parts of every number, and no bit depends on who holds what."""
    A = updated(shape)
    for B in (A, A.T):
        full, split = native(B, products="full"), native(B, products="split")
        expected = native(B, products="split", separate=True)
        assert expected["gauss_nodes"].tobytes() != split["gauss_nodes"].tobytes()
        assert expected["reads"] == split["reads"] + 1
        off = {
            name: np.abs(found["gauss_nodes"] - full["gauss_nodes"]).max()
            for name, found in (("split", split), ("apart", expected))
        }
        largest = full["gauss_nodes"].max()
        assert off["apart"] <= max(2 * off["split"], 1e-6 * largest), off
        for gather, threads, panel in ((True, 1, 0), (True, 3, 40), (False, 2, 40), (False, 1, 0)):
            found = native(
                B, products="split", separate=True, gather=gather, threads=threads, panel_rows=panel
            )
            for name in QUADRATURE:
                assert found[name].tobytes() == expected[name].tobytes(), (name, gather, threads)
            assert found["fro2"] == expected["fro2"]


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("make", [difference, adapted])
def test_where_much_is_left_nothing_is_kept_by_itself(kind: Any, make: Any) -> None:
    A = make((320, 96), kind)
    expected = native(A, products="split")
    for gather in (True, False):
        found = native(A, products="split", separate=True, gather=gather)
        for name in QUADRATURE:
            assert found[name].tobytes() == expected[name].tobytes(), name


def test_what_is_no_sum_is_left_as_it_is() -> None:
    a = stored((64, 96), np.float32, 0)
    A = ss.matrix(a)
    halves = ss.vstack([a[:32], a[32:]])
    assert A._native.layers == halves._native.layers == 1
    assert native(A, gather=True)["fro2"] == native(A)["fro2"]
    assert copy_nbytes(A, CallOptions.of(A)) == 0


def test_it_is_held_where_it_pays() -> None:
    wide, tall = difference((96, 320), np.float32), difference((320, 96), np.float32)
    held = 4 * 320 * (96 + 64)  # along whichever side, in lines of the cache
    assert copy_nbytes(wide, CallOptions.of(wide)) == held
    assert copy_nbytes(wide, CallOptions.of(wide, precision="float64")) == 0
    assert copy_nbytes(tall, CallOptions.of(tall)) == 0  # two tiles, and each step reads them once
    in_parts = copy_nbytes(tall, CallOptions.of(tall).with_precision("split"))
    assert in_parts == (held if _core.config()["tiles"] else 0)  # which tiles want, and the cache
    shards = ss.vstack([tall[i : i + 32] for i in range(0, 320, 32)])  # twenty tiles, two layers
    assert len(shards._native.dtypes) == 20
    assert copy_nbytes(shards, CallOptions.of(shards)) == 0
    many = adapted((320, 96), np.float32)
    assert copy_nbytes(many, CallOptions.of(many)) == held


@pytest.mark.unsanitized
def test_the_memory_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In files: read again at each pass, or added up once."""
    shape = 600, 20_000
    parts = []
    for name, seed in (("before", 0), ("after", 1)):
        path = tmp_path / f"{name}.npy"
        np.save(path, stored(shape, np.float32, seed))
        parts.append(ss.matrix(path))
    A = parts[1] - parts[0]
    krylov, gathered = _core.krylov, []

    def seen(*args: Any, **options: Any) -> Any:
        gathered.append(options["gather"])
        return krylov(*args, **options)

    monkeypatch.setattr(_core, "krylov", seen)
    need = {"k": 4, "effort": "density", "num_threads": 2}
    found = [ss.spectrum(A, memory_limit=limit, **need) for limit in ("80MiB", "1GiB")]
    assert gathered == [False, True]
    assert found[0].top.tobytes() == found[1].top.tobytes()
    assert found[0].measures == found[1].measures
