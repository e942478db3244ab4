# SPDX-License-Identifier: BSD-3-Clause
"""Conditions that every test may rely on, whoever started them and however busy the machine is."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

import pytest

from sigmascope._execution import costs

pytest_plugins = ("tests.support.cuda_module",)

pytest.register_assert_rewrite("tests.support")  # a failed assertion there shows its values too

# Dask's own wait for a connection is half a minute, which a busy machine can take to start Python.
os.environ.setdefault("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "600s")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Keep what collection has made out of every later collection of garbage.

    It is some millions of objects, which all live until the end.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """Tests send SIGINT to processes that they start, which would inherit that it is ignored.

    A shell without job control starts its background jobs so.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def density_of_small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute densities of matrices of some hundred rows, where every value costs less.

    It replaces them only where it replaces the largest values, too.
    """
    monkeypatch.setitem(costs.SPECTRUM, "density", costs.SPECTRUM["top"])
