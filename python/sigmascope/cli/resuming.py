# SPDX-License-Identifier: BSD-3-Clause
"""The command that continues a run that was interrupted (extra ``cli``)."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sigmascope._tables.options import must_match
from sigmascope._tables.scan_options import OPENING, SCAN
from sigmascope.comparing import Comparison
from sigmascope.report.tables import console
from sigmascope.scanning import Scan


def command_again(arguments: Sequence[str], resume: Path | None, out: Sequence[Path]) -> str | None:
    """Return the command that continues a run; None if the run has no journal.

    Parameters
    ----------
    arguments
        The arguments of the run, without the name of the program.
    resume, out
        Its options of these names.
    """
    if resume is not None:
        return shlex.join([*program(), *arguments])
    journal = next((path for path in out if path.suffix == ".jsonl"), None)
    if journal is None:
        return None
    words = list(arguments)
    for place, word in enumerate(words):
        option, equal, value = word.partition("=")
        if option == "--out" and Path(value if equal else words[place + 1]) == journal:
            words[place] = f"--resume{equal}{value}"
            break
    return shlex.join([*program(), *words])


def command_of_journal(table: Scan | Comparison, file: Path) -> str | None:
    """Return the command that continues a saved table; None if the file does not say it."""
    if file.suffix != ".jsonl" or not table.options:
        return None
    return shlex.join([*program(), *_words(table), "--resume", str(file)])


def _words(table: Scan | Comparison) -> Iterator[str]:
    options: dict[str, Any] = table.options
    if isinstance(table, Comparison):
        yield from ("compare", table.before, table.after)
    else:
        yield from ("scan", table.checkpoint)
    values = {name: options.get(name) for name in must_match(SCAN | OPENING)}
    if values["rules"]:
        values["rules"] = "RULES"  # a journal has the digest of the file, not its path
    if device := options.get("device"):
        values["device"] = "cuda:all" if "," in device else device
    for name, value in values.items():
        flag = (SCAN | OPENING)[name].flag.split()[0]
        if value is True:
            yield flag
        elif value is not None:
            for word in value if isinstance(value, list) else [value]:
                yield from (flag, str(word))
    if table.shard is not None:
        yield from ("--shard", f"{table.shard.index}/{table.shard.count}")


def program() -> list[str]:
    """Return the words by which this program was called."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return [sys.executable, "-m", "sigmascope"]
    path = shutil.which(called.name)
    same = path is not None and os.path.realpath(path) == os.path.realpath(called)
    return [called.name if same else str(called)]


def tell_command(command: str | None, *, stderr: bool = False) -> None:
    """Print the command that continues a run, or the option by which a run can be continued."""
    out = console(stderr=stderr)
    if command is None:
        out.print("No row was saved in a journal. A run with --resume FILE can be continued.")
    else:
        out.print("To continue, run:")
        out.print(f"  {command}", soft_wrap=True)
