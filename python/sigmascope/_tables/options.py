# SPDX-License-Identifier: BSD-3-Clause
"""The declaration of an option: keyword, default, flag, sentence, and whether journals record it.

Each option of scan, compare and extract is declared once, in ``scan_options.py`` and in
``comparing/extracting/options.py``. From these tables come the flags and help texts of the command
line, the options that a journal records, those that a resumed run must share with its journal, and
the tables of the documentation. Signatures repeat names, types and defaults for readers and type
checkers; ``tests/language/test_options_of_runs.py`` compares them with the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MUST_MATCH = "must match"
"""A journal records the option. A run that resumes it, and parts to merge, need the same value."""

MAY_DIFFER = "may differ"
"""A journal records the option, but no number depends on it, or a row states what was used."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a function and of its command.

    Attributes
    ----------
    name
        The keyword, which is also the name in the header of a journal.
    type, default
        As in the signature of the function.
    help
        One or more sentences for the help of the command and for the documentation.
    flag
        Words of the command line, the short one first; empty if only the function has the option.
    metavar
        What the help shows for the value; empty for the default of the command line.
    choices
        The texts that the option may be, if there is a list of them.
    least
        The smallest number that the command line takes.
    command_default
        The default of the command; an ellipsis stands for the default of the function.
    journal
        MUST_MATCH or MAY_DIFFER; empty if a journal does not record the option.
    """

    name: str
    type: str
    default: Any
    help: str
    flag: str = ""
    metavar: str = ""
    choices: tuple[str, ...] = ()
    least: int | None = None
    command_default: Any = ...
    journal: str = ""

    @property
    def default_of_command(self) -> Any:
        """The default of the command."""
        return self.default if self.command_default is ... else self.command_default


Options = dict[str, Option]


def table_of(*options: Option) -> Options:
    """Return options by their names."""
    return {option.name: option for option in options}


def must_match(options: Options) -> list[str]:
    """Return the options that decide numbers: a run that resumes a journal must have the same."""
    return [option.name for option in options.values() if option.journal == MUST_MATCH]


def may_differ(options: Options) -> list[str]:
    """Return the options that a journal records and that may change when it is resumed."""
    return [option.name for option in options.values() if option.journal == MAY_DIFFER]
