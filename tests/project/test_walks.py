# SPDX-License-Identifier: BSD-3-Clause
"""Data flows one way: few calls go back up into a file that the caller's is imported by."""

from __future__ import annotations

import pytest
from tests.walks import imports, walk_of


@pytest.mark.parametrize(("name", "most"), [("svds", 5), ("spectrum", 12)])
def test_a_matrix_climbs_little(name: str, most: int) -> None:
    entered, climbs = walk_of(name)
    assert entered["_execution/memory_plan.py"] > 0
    assert sum(climbs.values()) <= most, climbs


def test_imports_are_read() -> None:
    assert "_execution/options.py" in imports("solvers/svds.py")
    assert "matrices/matrix.py" in imports("_execution/options.py")
