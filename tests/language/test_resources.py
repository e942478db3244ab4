# SPDX-License-Identifier: BSD-3-Clause
"""Resources: which source gives a value, where a block holds, and that no bit changes."""

from __future__ import annotations

import asyncio
import inspect
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, fields, replace
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from tests.support.public_names import PUBLIC

import sigmascope as ss
from sigmascope._host.keywords import public
from sigmascope.errors import DeviceError
from sigmascope.streaming import Sketch

A = np.random.default_rng(0).standard_normal((60, 40))
NAMES = {field.name for field in fields(ss.Resources)}


@public
def given(
    *,
    device: str | None = None,
    num_threads: int | None = None,
    memory_limit: int | str | None = None,
    resources: ss.Resources | None = None,
) -> tuple[Any, ...]:
    """Return what a function with these keywords gets; it has no executor."""
    return device, num_threads, memory_limit, resources


def test_a_keyword_wins_over_resources_and_they_over_a_block() -> None:
    of_call = ss.Resources(num_threads=2, memory_limit="2GiB")
    with ss.Resources(device="cuda:1", num_threads=3):
        assert given() == ("cuda:1", 3, None, None)
        assert given(resources=of_call) == ("cuda:1", 2, "2GiB", None)
        assert given(num_threads=1, resources=of_call) == ("cuda:1", 1, "2GiB", None)
        assert given(num_threads=None, device="cpu") == ("cpu", 3, None, None)
    assert given() == (None, None, None, None)


def test_an_inner_block_wins_where_it_gives_a_value() -> None:
    outer = ss.Resources(num_threads=3, memory_limit=10**9)
    with outer as entered:
        assert entered is outer
        with ss.Resources(num_threads=1), outer, ss.Resources(device="cpu"):
            assert given() == ("cpu", 3, 10**9, None)
        with ss.Resources(num_threads=1):
            assert given() == (None, 1, 10**9, None)
        assert given() == (None, 3, 10**9, None)


def test_a_block_wins_over_the_number_that_was_set() -> None:
    ss.set_num_threads(3)
    try:
        with ss.Resources(num_threads=2):
            assert ss.svds(A, 3).num_threads == 2
        assert ss.svds(A, 3).num_threads == 3
    finally:
        ss.set_num_threads(None)


def test_a_block_ends_with_an_exception() -> None:
    with pytest.raises(KeyError), ss.Resources(num_threads=3):
        raise KeyError
    assert given() == (None, None, None, None)


def test_each_thread_has_blocks_of_its_own() -> None:
    barrier = Barrier(2)

    def inside(threads: int) -> tuple[Any, ...]:
        with ss.Resources(num_threads=threads):
            barrier.wait(10)
            values = given()
            barrier.wait(10)
        return values, given()

    with ss.Resources(num_threads=5), ThreadPoolExecutor(2) as pool:
        for threads, (within, after) in zip((1, 2), pool.map(inside, (1, 2)), strict=True):
            assert within[1] == threads
            assert after[1] is None
        assert given()[1] == 5


def test_each_task_of_asyncio_has_blocks_of_its_own() -> None:
    async def inside(threads: int) -> list[Any]:
        counts = []
        with ss.Resources(num_threads=threads):
            for _ in range(3):
                await asyncio.sleep(0)
                counts.append(given()[1])
        return counts

    async def both() -> list[list[Any]]:
        return await asyncio.gather(inside(1), inside(2))

    assert asyncio.run(both()) == [[1] * 3, [2] * 3]


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))


def test_the_bits_are_those_of_the_keywords() -> None:
    with ss.Resources(num_threads=1):
        assert same(ss.svds(A, 3), ss.svds(A, 3, num_threads=2))
    with ThreadPoolExecutor(2) as pool:
        expected = ss.svds(A, 3, executor=pool)
        with ss.Resources(executor=pool, num_threads=1):
            svd = ss.svds(A, 3)
    assert svd.num_threads == 1
    assert same(svd, expected)


def test_a_scan_takes_them() -> None:
    plain = ss.scan({"w": A}, k=3)
    few = ss.scan({"w": A}, k=3, resources=ss.Resources(num_threads=1, memory_limit="1GB"))
    assert few.options["num_threads"] == 1
    assert few.options["memory_limit"] == 10**9
    assert few.rows[0]["top"] == plain.rows[0]["top"]
    with ss.Resources(device="cuda:99"):
        assert ss.scan({"w": A}, k=3, device="cpu").rows[0]["top"] == plain.rows[0]["top"]
        with pytest.raises(DeviceError, match="cuda:99"):
            ss.scan({"w": A}, k=3)
        with pytest.raises(DeviceError, match="cuda:99"):
            ss.series.trajectory({1: {"w": A}}, measures="fro_norm")


def test_a_block_reaches_methods_and_functions_with_some_of_the_keywords() -> None:
    with ss.Resources(device="cuda:99"), pytest.raises(DeviceError, match="cuda:99"):
        Sketch(40, 2).update(A)
    with ss.Resources(num_threads=1):
        assert np.array_equal(ss.multiply(ss.matrix(A), np.eye(40)), A)


def test_functions_with_the_four_keywords_take_resources() -> None:
    functions = {name: f for name, f in PUBLIC.items() if inspect.isfunction(f)}
    taking = {n for n, f in functions.items() if inspect.signature(f).parameters.keys() >= NAMES}
    assert {"svds", "spectrum", "low_rank", "scan", "compare", "extract", "trajectory"} < taking
    for name in taking:
        assert "resources" in inspect.signature(functions[name]).parameters, name


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ss.Resources(num_threads=0), ValueError, "num_threads must be at least 1, not 0"),
        (lambda: ss.Resources(num_threads=1.5), TypeError, "num_threads must be an integer or No"),  # type: ignore[arg-type]
        (lambda: ss.Resources(memory_limit="much"), ValueError, "memory_limit 'much' is not a si"),
        (lambda: ss.Resources(device=0), TypeError, "device must be a string or None, not 0"),  # type: ignore[arg-type]
        (lambda: ss.Resources(executor=4), TypeError, "executor must be a concurrent.futures.Ex"),  # type: ignore[arg-type]
        (lambda: ss.svds(A, 3, resources=2), TypeError, "resources must be a sigmascope.Resources"),  # type: ignore[call-overload]
    ],
)
def test_wrong_values_are_named(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


def test_resources_are_values() -> None:
    one = ss.Resources(num_threads=2)
    assert pickle.loads(pickle.dumps(one)) == one == replace(ss.Resources(), num_threads=2)
    with pytest.raises(FrozenInstanceError):
        one.num_threads = 3  # type: ignore[misc]
