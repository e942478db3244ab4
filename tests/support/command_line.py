# SPDX-License-Identifier: BSD-3-Clause
"""The command line, called in this process or in one of its own."""

from __future__ import annotations

import sys

from typer.testing import CliRunner

from sigmascope.cli.app import app

COMMAND = [sys.executable, "-m", "sigmascope"]


def invoke(*arguments: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return found.exit_code, found.stdout, found.stderr
