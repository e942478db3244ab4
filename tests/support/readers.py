# SPDX-License-Identifier: BSD-3-Clause
"""The formats of checkpoints that are known: those of the package, and those of other packages."""

from __future__ import annotations

from sigmascope._host.formats import REGISTERED
from sigmascope.checkpoint import Reader
from sigmascope.checkpoint.formats.readers import BUILT_IN, annex_reader, registered
from sigmascope.checkpoint.quantised.registry import layout_of


def own_formats() -> tuple[Reader, ...]:
    """The formats that need no other package."""
    annex = map(annex_reader, REGISTERED)
    return (*BUILT_IN, *(reader for reader in annex if reader is not None))


def has_reader(name: str) -> bool:
    """Tell whether there is a reader of a format: an installation may lack the annex of some."""
    return any(reader.name == name for reader in own_formats())


def forget_other_packages() -> None:
    """Make the next call look for entry points anew."""
    registered.cache_clear()
    annex_reader.cache_clear()
    layout_of.cache_clear()
