# SPDX-License-Identifier: BSD-3-Clause
"""Scans whose matrices are looked at as they are when their analysis begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

import sigmascope as ss
from sigmascope.analysis.spectrum import analysed


def watch_matrices(
    monkeypatch: pytest.MonkeyPatch, watch: Callable[[ss.Matrix, Mapping[str, Any]], None]
) -> None:
    """Call a function with each matrix that a scan analyses, and with the options of its call."""

    def spectrum(a: ss.Matrix, asked: Any, **how: Any) -> Any:
        watch(a, asked.options)
        return analysed(a, asked, **how)

    monkeypatch.setattr("sigmascope.scanning.tasks.analysed", spectrum)
