# SPDX-License-Identifier: BSD-3-Clause
"""Parts of commands: options, statuses, messages and tables on a terminal (extra ``cli``).

Entry points of three groups extend the command line. ``sigmascope.commands`` has functions that
become commands. ``sigmascope.records`` has a :class:`SavedRecord` for each kind of .json file
that ``sigmascope show`` prints. ``sigmascope.comparison_reports`` has the function that prints
the report for the options --reference and --recipe of ``sigmascope compare``.
"""

from __future__ import annotations

from sigmascope.cli.exits import DONE, INCOMPLETE, INTERRUPTED, clean_errors
from sigmascope.cli.options import AlphaOption, QuietOption, RecipeOption, ReferenceOption
from sigmascope.cli.registered import ComparisonReport, SavedRecord
from sigmascope.cli.resuming import command_again, tell_command
from sigmascope.report.tables import console, show_table

__all__ = [
    "DONE",
    "INCOMPLETE",
    "INTERRUPTED",
    "AlphaOption",
    "ComparisonReport",
    "QuietOption",
    "RecipeOption",
    "ReferenceOption",
    "SavedRecord",
    "clean_errors",
    "command_again",
    "console",
    "show_table",
    "tell_command",
]
