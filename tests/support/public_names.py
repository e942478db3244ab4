# SPDX-License-Identifier: BSD-3-Clause
"""Every public name of the package, of its front door and of the modules behind it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

EVERY = (
    "sigmascope",
    "sigmascope.results",
    "sigmascope.errors",
    "sigmascope.streaming",
    "sigmascope.adapters",
    "sigmascope.series",
    "sigmascope.diagnosis",
    "sigmascope.provenance",
)

MODULES = tuple(module for module in EVERY if find_spec(module))
"""Those that are installed: annexes may be left out."""

PLACES: dict[str, str] = {
    name: module for module in MODULES for name in import_module(module).__all__
}
"""The module of each public name."""

PUBLIC: dict[str, Any] = {
    name: getattr(import_module(module), name) for name, module in PLACES.items()
}
"""The objects with these names."""
