# SPDX-License-Identifier: BSD-3-Clause
"""Objects that packages, including sigmascope itself, register as entry points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class RegistrationError(ImportError):
    """An entry point cannot be imported; the message names it and its package."""


@dataclass(frozen=True, slots=True)
class Registered:
    """An entry point of a package.

    Attributes
    ----------
    label : str
        Kind and name of the entry point, its package and its value, for messages.
    point : importlib.metadata.EntryPoint
        The entry point itself.
    """

    label: str
    point: EntryPoint

    def load(self) -> Any:
        """Import the object; RegistrationError if that fails, whatever the package raises."""
        try:
            return self.point.load()
        except Exception as error:
            raise RegistrationError(
                f"{self.label} cannot be imported: {type(error).__name__}: {error}"
            ) from error


def iter_registered(group: str, kind: str) -> Iterator[Registered]:
    """Yield the entry points of a group in the order of their names; messages name the kind."""
    from importlib.metadata import entry_points

    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
        package = "" if point.dist is None else f" of the package {point.dist.name}"
        yield Registered(f"{kind} {point.name!r}{package} ({point.value})", point)
