# SPDX-License-Identifier: BSD-3-Clause
"""Sums over two vectors that are read in any parts, as a comparison adds them up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sigmascope.spectra.statistics.entries import VectorChange


def change_of(dtypes: tuple[str, str], parts: Iterable[tuple[Any, Any]]) -> VectorChange:
    """Return the change of vectors of two dtypes, of which the parts are given one by one."""
    change = VectorChange(dtypes)
    for before, after in parts:
        change.add(before, after)
    return change
