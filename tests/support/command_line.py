# SPDX-License-Identifier: BSD-3-Clause
"""The command line, called in this process or in one of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any

import typer
from typer.testing import CliRunner

from sigmascope.cli.app import app

COMMAND = [sys.executable, "-m", "sigmascope"]


def invoke(*arguments: object) -> tuple[int, str, str]:
    """Call the command line in this process, and return its status, output and messages."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def commands() -> dict[str, Any]:
    """Return every command, with its help and its parameters, by name."""
    group: Any = typer.main.get_command(app)
    return dict(sorted(group.commands.items()))


def completions(*words: str) -> list[str]:
    """Return what a shell offers in place of the last of these words of a call."""
    line = {
        "_SIGMASCOPE_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["sigmascope", *words]),
        "COMP_CWORD": str(len(words)),
    }
    return CliRunner().invoke(app, [], env=line, prog_name="sigmascope").stdout.split()


RENAMED = {"measure": "measures", "step": "steps", "reference": "calibration"}
"""Options whose names are not those of the parameters of the calls."""


def assert_defaults_are_those_of(
    calls: Sequence[Callable[..., Any]], command: Any, deliberate: Mapping[str, Any]
) -> None:
    """Compare the defaults of a command with those of the calls that it makes."""
    compared = 0
    for call in calls:
        parameters = signature(call).parameters
        for option in command.params:
            same = parameters.get(option.name) or parameters.get(RENAMED.get(option.name, ""))
            if same is not None and same.default is not Parameter.empty:
                assert option.default == deliberate.get(option.name, same.default), option.name
                compared += 1
    assert compared
