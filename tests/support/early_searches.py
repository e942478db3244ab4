# SPDX-License-Identifier: BSD-3-Clause
"""Scans whose searches do not converge."""

from __future__ import annotations

from typing import Any

import pytest

from sigmascope.analysis.spectrum import analysed
from sigmascope.scanning import tasks


def end_searches_early(monkeypatch: pytest.MonkeyPatch, passes: int = 2) -> None:
    """End the searches of scans of this process after fewer passes than they need.

    They may make 300, which no small matrix uses up.
    """

    def in_few_passes(*of: Any, **how: Any) -> Any:
        return analysed(*of, **how, max_passes=passes)

    monkeypatch.setattr(tasks, "analysed", in_few_passes)
