# SPDX-License-Identifier: BSD-3-Clause
"""The manual page of the command line, in roff, from the help of its commands (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sigmascope import __version__


def manual_page(group: Any) -> str:
    """Return the manual page of a group of commands.

    Parameters
    ----------
    group : click.Group
        The commands, with their options and help texts.
    """
    return "\n".join(_lines(group)) + "\n"


def _lines(group: Any) -> Iterator[str]:
    yield f'.TH SIGMASCOPE 1 "" "sigmascope {__version__}" "User Commands"'
    yield from (".SH NAME", f"sigmascope \\- {_roff(group.help)}")
    yield from (".SH SYNOPSIS", ".B sigmascope", "COMMAND [OPTIONS] ARGUMENTS", ".SH COMMANDS")
    for name, command in group.commands.items():
        if command.hidden:
            continue
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join([name, *(_name(argument) for argument in arguments)])
        yield from (".SS", _roff(f"sigmascope {usage}"), _roff(command.help))
        context = type(group).context_class(command, info_name=name)
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None:
                yield from (".TP", f".B {_roff(record[0])}", _roff(record[1]))
    yield from (".SH EXIT STATUS", _roff(group.epilog.removeprefix("Exit status: ")))


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _roff(text: str) -> str:
    """Escape text for roff: backslashes, hyphens of options, and lines that begin with a dot."""
    words = " ".join((text or "").split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{words}" if words.startswith((".", "'")) else words
