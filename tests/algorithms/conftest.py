# SPDX-License-Identifier: BSD-3-Clause
"""Algorithms that are compiled from the source tree, once for all tests of this room."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from tests.support.algorithms_library import compiled

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The library of small eigenproblems, and of the algorithms over a plain backend."""
    sources = [
        HERE / "reference_backend/reference_backend.cpp",
        HERE / "small_eigen/small_eigen.cpp",
    ]
    return compiled(sources, tmp_path_factory.mktemp("algorithms"))
