# SPDX-License-Identifier: BSD-3-Clause
"""Data flows one way, through few files: walks of all branches of two calls, counted."""

from __future__ import annotations

import pytest
from tests.walks import MEMORY, imports, walk_of


@pytest.mark.parametrize(
    ("name", "climbs", "entries", "files"),
    [("svds", 3, 7, 38), pytest.param("spectrum", 6, 21, 39, marks=pytest.mark.slow)],
)
def test_a_matrix_goes_a_short_way(name: str, climbs: int, entries: int, files: int) -> None:
    """Numbers of climbs, of entries into the file of memory, and of files: no more than today."""
    walk = walk_of(name)
    assert {"solvers/krylov.py", "solvers/gram.py", "_execution/workers.py"} <= walk.files
    assert len(walk.climbs) <= climbs, walk.climbs
    assert 0 < len(walk.entries(MEMORY)) <= entries, walk.entries(MEMORY)
    assert len(walk.files) <= files, sorted(walk.files)


@pytest.mark.parametrize(
    ("name", "files"), [("svds", 21), pytest.param("spectrum", 27, marks=pytest.mark.slow)]
)
def test_one_stored_matrix_goes_through_few_files(name: str, files: int) -> None:
    walk = walk_of(name, one_matrix=True)
    assert "solvers/gram.py" in walk.files
    assert len(walk.files) <= files, sorted(walk.files)


def test_imports_are_read() -> None:
    assert "_execution/options.py" in imports("solvers/svds.py")
    assert "matrices/matrix.py" in imports("_execution/options.py")
