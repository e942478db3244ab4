# SPDX-License-Identifier: BSD-3-Clause
"""Seconds that searches and decompositions are expected to take, by which routes are chosen."""

from __future__ import annotations

import pytest

from sigmascope._execution import costs
from sigmascope._execution.costs import Search
from sigmascope._execution.rounding import SEARCHES


@pytest.mark.parametrize("precision", ["float32", "split", "float64"])
@pytest.mark.parametrize("k", [1, 8, 64, 128])
def test_a_density_is_computed_only_where_it_costs_less_than_every_value(
    precision: str, k: int
) -> None:
    """From one order on: the costs of every value grow with its cube."""
    orders = [64 * 2 ** (e / 4) for e in range(32)]
    preferred = [
        costs.prefers_values(Search((int(n), int(n)), k, 1e-3, precision, 32), effort="density")
        for n in orders
    ]
    assert preferred == sorted(preferred, reverse=True)
    assert preferred[0]
    assert not preferred[-1]


@pytest.mark.parametrize("precision", SEARCHES)
def test_costs_grow_with_the_work(precision: str) -> None:
    search = Search((4096, 4096), 64, 1e-3, precision, 32)
    base = costs.krylov_seconds(search)
    assert costs.krylov_seconds(search._replace(shape=(8192, 4096))) > 1.5 * base
    assert costs.krylov_seconds(search._replace(k=128)) > 1.4 * base
    assert costs.krylov_seconds(search._replace(tol=1e-6)) > base
    # what is read again at each pass is read in fewer passes
    larger = Search((8192, 8192), 64, 1e-3, precision)
    in_memory = costs.best_block(larger)
    assert costs.best_block(larger._replace(file_bytes=2**30)) > in_memory
    assert costs.best_block(Search((5, 4), 2, 1e-3, precision)) <= 4
    assert costs.gram_seconds((64, 64), vectors=8) < 1e-3


@pytest.mark.parametrize("precision", ["mixed", "split"])
def test_the_costs_of_a_device_are_those_of_its_memory_and_of_the_host(precision: str) -> None:
    """Tensor cores wait for memory, and a check of convergence is made on the host."""
    host = Search((28672, 8192), 64, 1e-3, precision, 32)
    device = host._replace(on_cuda=True)
    narrow, wide = (costs.krylov_parts(device._replace(block=block)) for block in (8, 32))
    assert narrow.products > wide.products
    assert wide.checks > 0.1 * wide.products
    assert costs.krylov_seconds(device) < costs.krylov_seconds(host)
    assert costs.best_block(device) <= 32
