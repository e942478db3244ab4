# SPDX-License-Identifier: BSD-3-Clause
"""Regular expressions as files of rules and adapters have them, matched alone."""

from __future__ import annotations

from sigmascope.checkpoint.naming.patterns import LinearPattern, compiled_pattern


def matcher(pattern: str) -> LinearPattern:
    """The matcher of a pattern of a file: `re`, or all paths at once where that may take long."""
    return compiled_pattern(pattern, "here")


def linear_matcher(pattern: str, groups: tuple[str, ...] = ()) -> LinearPattern:
    """The same, but it never turns to `re`."""
    found = compiled_pattern(pattern, "here", groups)
    found._ways = {1 << power: float("inf") for power in range(16)}
    return found
