# SPDX-License-Identifier: BSD-3-Clause
"""Each result of a stack has the bits of the call on its matrix alone, and the right values."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.calls import CALLS, SEEDED
from tests.support.coverings import grid

import sigmascope as ss
from sigmascope._execution import stacks
from sigmascope._execution.devices import Device
from sigmascope._execution.memory import MINIMUM
from sigmascope.results import Density

VARYING = {"seconds", "num_threads"}
"""Attributes that depend on the machine."""


def assert_same(result: Any, expected: Any) -> None:
    """Assert that two results agree in every bit of every attribute."""
    assert type(result) is type(expected)
    if hasattr(expected, "__dataclass_fields__"):
        for field in fields(expected):
            if field.name not in VARYING:
                assert_same(getattr(result, field.name), getattr(expected, field.name))
    elif isinstance(expected, dict):
        assert result.keys() == expected.keys()
        for key in expected:
            assert_same(result[key], expected[key])
    elif isinstance(expected, tuple):
        assert len(result) == len(expected)
        for one, other in zip(result, expected, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(result, expected, strict=isinstance(expected, np.ndarray))


def experts(count: int, m: int, n: int, dtype: Any = np.float32) -> NDArray[Any]:
    """A stack of matrices whose spectra decay differently."""
    rng = np.random.default_rng(0)
    decays = np.arange(1, n + 1) ** -np.linspace(0.1, 2.0, count)[:, None]
    return (rng.standard_normal((count, m, n)) * decays[:, None]).astype(dtype)


SMALL = experts(5, 40, 24)
LARGE = experts(3, 320, 260)
"""A search in float32 has fewer columns than these matrices."""


@pytest.fixture(scope="module")
def alone() -> dict[str, list[Any]]:
    """Call every function with each of the small matrices alone."""
    return {name: [call(a, num_threads=1) for a in SMALL] for name, call in CALLS.items()}


@grid(name=CALLS.keys(), memory=["70MB", "250MB", "4GB"], threads=[1, 3, 8])
def test_threads_and_memory_change_no_bit(
    name: str, memory: str, threads: int, alone: dict[str, list[Any]]
) -> None:
    result = CALLS[name](SMALL, memory_limit=memory, num_threads=threads)
    assert len(result) == len(SMALL)
    for i, expected in enumerate(alone[name]):
        assert_same(result[i], expected)


@pytest.mark.parametrize(("memory", "workers"), [("100MB", 1), ("150MB", 2), ("4GB", 3)])
@pytest.mark.parametrize("name", ["svds by Krylov", "spectrum density"])
def test_searches_have_the_bits_of_one_matrix(
    name: str, memory: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = shares_chosen(monkeypatch)
    result = CALLS[name](LARGE, memory_limit=memory, num_threads=4)
    for i, a in enumerate(LARGE):
        assert_same(result[i], CALLS[name](a, memory_limit=memory, num_threads=2))
    assert [each.workers for each in chosen] == [workers]


@pytest.mark.parametrize("name", SEEDED)
def test_seeds_are_those_of_the_call(name: str) -> None:
    result = CALLS[name](SMALL[:2], seed=7)
    for i in range(2):
        assert_same(result[i], CALLS[name](SMALL[i], seed=7))


def shares_chosen(monkeypatch: pytest.MonkeyPatch) -> list[stacks.Shares]:
    """Collect how threads and memory are divided."""
    chosen: list[stacks.Shares] = []
    choose = stacks.Shares.of

    def of(*arguments: Any) -> stacks.Shares:
        chosen.append(choose(*arguments))
        return chosen[-1]

    monkeypatch.setattr(stacks.Shares, "of", of)
    return chosen


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 5, 7, 11, 64])
def test_threads_and_memory_are_divided(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = shares_chosen(monkeypatch)
    CALLS["svdvals"](SMALL, num_threads=threads, memory_limit=6 * MINIMUM)
    (shares,) = chosen
    assert shares.workers == min(threads, len(SMALL))
    options = [shares.options(i) for i in range(shares.workers)]
    assert sum(each.threads for each in options) == threads
    assert sum(each.memory for each in options) <= 6 * MINIMUM
    assert max(each.threads for each in options) - min(each.threads for each in options) <= 1


def test_shares_are_as_large_as_a_call_can_come_to(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = shares_chosen(monkeypatch)
    counts = []
    for memory in (MINIMUM, 2 * MINIMUM, 3 * MINIMUM, 10**10):
        ss.svds(LARGE, 2, method="krylov", num_threads=3, memory_limit=memory)
        counts.append(chosen[-1].workers)
    assert counts == sorted(counts)
    assert counts[0] == 1
    assert counts[-1] == 3


def test_a_share_that_would_change_bits_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of this memory has no room for the Gram matrix, and a search would replace it."""
    monkeypatch.setattr(stacks, "MINIMUM", 1)
    memory = {"memory_limit": 6_000_000, "num_threads": 2}
    matrices = np.random.default_rng(0).standard_normal((2, 600, 500)).astype(np.float32)
    chosen = shares_chosen(monkeypatch)
    result = ss.svds(matrices, 150, vectors=False, **memory)
    assert chosen[0].workers == 1
    expected = ss.svds(matrices[1], 150, vectors=False, **memory)
    less = ss.svds(matrices[1], 150, vectors=False, memory_limit=3_000_000)
    assert less.method != expected.method == "Gram matrix"
    assert_same(result[1], expected)


def test_results_count_as_memory() -> None:
    calls: list[int] = []

    def suffices(a: ss.Matrix, call: Any) -> bool:
        calls.append(call.memory - call.reserved)
        return bool(call.memory >= 4 * MINIMUM)

    matrices = [ss.matrix(a) for a in SMALL]
    call = stacks.CallOptions.of(matrices[0], num_threads=5, memory_limit=9 * MINIMUM)
    shares = stacks.Shares.of(matrices, call, suffices, 0)
    assert (shares.workers, shares.each.memory, shares.each.threads) == (2, 9 * MINIMUM // 2, 3)
    shares = stacks.Shares.of(matrices, call, suffices, MINIMUM)
    assert (shares.workers, shares.each.reserved) == (1, 4 * MINIMUM)
    assert min(calls) >= MINIMUM
    call = replace(call, memory=4 * MINIMUM)  # of which the results leave room for one
    shares = stacks.Shares.of(matrices, call, lambda *_: True, 6 * MINIMUM // 10)
    assert shares.workers == 1


def test_the_memory_of_a_device_is_divided() -> None:
    matrices = [ss.matrix(a) for a in SMALL]
    call = stacks.CallOptions.of(matrices[0], num_threads=4, memory_limit="1GB")
    call = replace(call, device=Device("cuda:0", 0, 1000))
    shares = stacks.Shares.of(matrices, call, lambda a, each: each.device.nbytes >= 300, 0)
    assert (shares.workers, shares.each.device.nbytes) == (3, 333)
    assert shares.each.device.is_share


# ---------------------------------------------------------------------------------- references


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(4,), (2, 3), (1, 2, 2)])
def test_values_are_those_of_numpy(shape: tuple[int, ...], dtype: Any) -> None:
    x = np.random.default_rng(1).standard_normal((*shape, 30, 20)).astype(dtype)
    wide = x.astype(np.float64)
    truth = np.linalg.svd(wide, compute_uv=False)
    U, s, Vt = result = ss.svds(x, 20, tol=1e-6)
    assert U.shape == (*shape, 30, 20)
    assert Vt.shape == (*shape, 20, 20)
    assert result.converged.shape == result.passes.shape == result.fro_norm.shape == shape
    assert np.all(np.abs(s - truth) <= result.errors + 1e-14 * truth[..., :1])
    np.testing.assert_allclose((U * s[..., None, :]) @ Vt, wide, atol=1e-5)
    np.testing.assert_allclose(result.fro_norm, np.linalg.norm(wide, axis=(-2, -1)), rtol=1e-14)
    every = ss.svdvals(x)
    assert np.all(np.abs(np.asarray(every) - truth) <= every.errors + 1e-14)


def test_densities_and_spectra_agree_with_numpy() -> None:
    x = np.random.default_rng(2).standard_normal((3, 120, 90))
    truth = np.linalg.svd(x, compute_uv=False)
    nuclear = truth.sum(-1)
    for result in (ss.spectral_density(x, passes=4), ss.spectrum(x, effort="exact")):
        if isinstance(result[0], Density):
            measures = [one.nuclear_norm() for one in result]
        else:
            measures = [one["nuclear_norm"] for one in result]
        for measure, expected in zip(measures, nuclear, strict=True):
            assert abs(measure.value - expected) <= 4 * measure.error + 1e-9 * expected


def test_known_spectra_in_a_stack() -> None:
    matrices, spectra = zip(ks.polynomial(60, 40), ks.llm(60, 40), strict=True)
    for result in (ss.svds(list(matrices), 5), ss.randomized_svd(list(matrices), 5, passes=6)):
        truth = np.stack([s[:5] for s in spectra])
        assert np.all(np.abs(result.s - truth) <= result.errors + 1e-13)


# -------------------------------------------------------------------------------------- layouts


X = experts(4, 18, 12)
LAYOUTS: dict[str, NDArray[Any]] = {
    "transposed": np.swapaxes(X, -1, -2),
    "steps": experts(8, 36, 24)[::2, ::-2, 1::3],
    "axes": np.moveaxis(experts(18, 4, 12), 0, 1),
    "columns": np.asfortranarray(X),
    "broadcast": np.broadcast_to(X[0], (3, 18, 12)),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_read_where_they_are(name: str) -> None:
    x = LAYOUTS[name]
    result = ss.svds(x, 2)
    for i, a in enumerate(x):
        assert_same(result[i], ss.svds(a, 2))
        assert_same(result[i], ss.svds(np.ascontiguousarray(a), 2))


@settings(max_examples=25, deadline=None)
@given(
    shape=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    m=st.integers(1, 6),
    n=st.integers(1, 6),
    seed=st.integers(0, 100),
    data=st.data(),
)
def test_any_shape(shape: list[int], m: int, n: int, seed: int, data: st.DataObject) -> None:
    x = np.random.default_rng(seed).standard_normal((*shape, m, n))
    k = data.draw(st.integers(1, min(m, n)))
    U, s, Vt = result = ss.svds(x, k)
    assert (U.shape, s.shape, Vt.shape) == ((*shape, m, k), (*shape, k), (*shape, k, n))
    assert result.shape == tuple(shape)
    assert len(result) == shape[0]
    truth = np.linalg.svd(x, compute_uv=False)
    np.testing.assert_allclose(s, truth[..., :k], atol=1e-6 * (1 + truth.max(initial=0.0)))
    for index, one in result.items():
        assert_same(one, ss.svds(x[index], k))
    assert ss.svdvals(x).values.shape == (*shape, min(m, n))
    assert repr(result).count("\n") == 0
