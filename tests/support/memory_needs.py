# SPDX-License-Identifier: BSD-3-Clause
"""Memory that calls need: as their refusals say it, and as the package plans it."""

from __future__ import annotations

import re
from typing import Any

import pytest

import sigmascope as ss
from sigmascope.analysis.admission import SpectrumRequest
from sigmascope.errors import MemoryLimitError

_UNITS = {"B": 1, "kiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def bytes_of(amount: str) -> int:
    """Return the bytes of an amount as messages write it."""
    number, unit = amount.split()
    return int(float(number) * _UNITS[unit])


def stated_need(error: MemoryLimitError) -> int:
    """Return the bytes that a refused call needs by its message."""
    amount = re.search(r" needs ([\d.]+ [kMG]?i?B)", str(error))
    assert amount is not None, error
    return bytes_of(amount[1])


def least_and_most(A: ss.Matrix, **call: Any) -> tuple[int, int]:
    """Return the least memory of a spectrum, and the memory of it with all columns of its basis."""
    route, memory = SpectrumRequest.of(**{"tol": 1e-3, "accuracy": "reference", **call}).chosen(A)
    return memory.least(route.need), memory.least(route.need_of(memory, grown=True))


def admission(A: ss.Matrix, **call: Any) -> MemoryLimitError | None:
    """Return the error with which a spectrum is refused before it begins; None if it would run."""
    request = SpectrumRequest.of(**{"tol": 1e-3, "accuracy": "reference", **call})
    try:
        request.plan(*request.chosen(A))
    except MemoryLimitError as error:
        return error
    return None


def leave_room(monkeypatch: pytest.MonkeyPatch, nbytes: int) -> None:
    """Let each matrix of a scan leave so many bytes for the one that is read meanwhile."""
    monkeypatch.setattr("sigmascope.scanning.tasks.memory_left", lambda *_, **__: nbytes)
