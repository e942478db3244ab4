# SPDX-License-Identifier: BSD-3-Clause
"""Threads and memory with which the matrices of an extraction are computed."""

from __future__ import annotations

from typing import Any

import pytest

from sigmascope.comparing.extracting import tasks


def recorded_shares(patch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A list that gets the threads and the bytes of memory of each matrix that is extracted."""
    shares: list[tuple[int, int]] = []
    extract_matrix = tasks.extract_matrix

    def recorded(pair: Any, request: Any, *rest: Any) -> Any:
        shares.append((request.num_threads, request.memory_limit))
        return extract_matrix(pair, request, *rest)

    patch.setattr(tasks, "extract_matrix", recorded)
    return shares
