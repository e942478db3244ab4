# SPDX-License-Identifier: BSD-3-Clause
"""Limits of the readers, lowered for a test wherever the package has taken them over."""

from __future__ import annotations

import sys

import pytest

import sigmascope as ss


def lower(patch: pytest.MonkeyPatch, name: str, most: int) -> None:
    """Lower a limit in every module of the package that has it under its name."""
    package = f"{ss.__name__}."
    holders = [
        module
        for key, module in list(sys.modules.items())
        if key.startswith(package) and name in vars(module)
    ]
    assert holders, f"no module has read {name}"
    for module in holders:
        patch.setattr(module, name, most)
