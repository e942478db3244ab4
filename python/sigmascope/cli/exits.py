# SPDX-License-Identifier: BSD-3-Clause
"""Exit statuses, and error messages in one line (extra ``cli``)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import typer

from sigmascope._words.text import printable
from sigmascope.errors import SigmascopeError

DONE, INCOMPLETE, BAD_INPUT, INTERRUPTED, CLOSED_PIPE, TERMINATED = 0, 1, 2, 130, 141, 143


@contextmanager
def clean_errors() -> Iterator[None]:
    """Print an error of the input in one line, and exit with status 2."""
    try:
        yield
    except BrokenPipeError:
        raise typer.Exit(CLOSED_PIPE) from None
    except (SigmascopeError, OSError, ValueError, ImportError) as error:
        complain(error)
        raise typer.Exit(BAD_INPUT) from None


def is_closed(stream: TextIO) -> bool:
    """Return True if the reader of a pipe has closed it, as `head` does; discard what remains."""
    try:
        stream.flush()
    except BrokenPipeError:
        # Python would report it once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return True
    return False


def complain(error: Exception) -> None:
    """Print an error in one line on standard error."""
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    print(f"sigmascope: {printable(' '.join(text.split()))}", file=sys.stderr)
