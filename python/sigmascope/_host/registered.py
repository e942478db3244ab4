# SPDX-License-Identifier: BSD-3-Clause
"""Objects that packages register as entry points, those of sigmascope itself among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class RegistrationError(ImportError):
    """An entry point cannot be imported; the message names it and its package."""


def load_registered(group: str, kind: str) -> Iterator[tuple[str, Any]]:
    """Import the entry points of a group, in the order of their names.

    Yields
    ------
    str
        The kind and name of the entry point, its package and its value, for messages.
    object
        What it imports.

    Raises
    ------
    RegistrationError
        If one cannot be imported.
    """
    from importlib.metadata import entry_points

    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
        package = "" if point.dist is None else f" of the package {point.dist.name}"
        label = f"{kind} {point.name!r}{package} ({point.value})"
        try:
            registered = point.load()
        except Exception as error:  # the import of another package may raise anything
            raise RegistrationError(
                f"{label} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        yield label, registered
