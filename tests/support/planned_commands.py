# SPDX-License-Identifier: BSD-3-Clause
"""Options of the commands that can print a plan, and those of them that reach it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import invoke

from sigmascope.cli import app as scans
from sigmascope.cli import compare as comparisons

COMMANDS: dict[str, Callable[..., Any]] = {"scan": scans.scan, "compare": comparisons.compare}


def options_of(command: str) -> set[str]:
    """Return the names of the arguments and options of a command, as the functions have them."""
    return set(inspect.signature(COMMANDS[command]).parameters)


def options_of_its_plan(
    patch: pytest.MonkeyPatch, command: str, *arguments: object
) -> dict[str, Any]:
    """Return the options with which a command opens its checkpoints and makes its plan."""
    options: dict[str, Any] = {}

    def opened(path: Path, **given: Any) -> Path:
        options.update(given)
        return path

    def plan(*paths: Path, **given: Any) -> None:
        given.pop("plan", None)
        options.update(given)
        raise SystemExit(0)

    patch.setattr(comparisons, "as_scannable", opened)
    patch.setattr(comparisons, "compare_checkpoints", plan)
    patch.setattr(scans, "plan_of_scan", plan)
    invoke(command, *arguments, "--plan")
    return options
