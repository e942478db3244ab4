# SPDX-License-Identifier: BSD-3-Clause
"""Operators whose products seem to be exact, whatever they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sigmascope.matrices.products.operators import OperatorProducts


def overlook_defects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is seen of the products of an operator be without errors and defects."""
    evidence = OperatorProducts.evidence
    nothing: dict[str, Any] = {"relative_error": 0.0, "defects": None}
    monkeypatch.setattr(
        OperatorProducts,
        "evidence",
        lambda self, precision: replace(evidence(self, precision), **nothing),
    )
