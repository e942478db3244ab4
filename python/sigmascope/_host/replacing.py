# SPDX-License-Identifier: BSD-3-Clause
"""Files that are replaced by one operation, and errors of the system with the path at fault."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the path to an OSError without one, such as the error of a write to a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename == str(path) or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def replacing(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it replaces `path` unless an error occurs.

    Only a killed process leaves its temporary file. If no other process writes to the folder, then
    `alone` removes such files of the same path.
    """
    with naming(path):
        if alone:
            _remove_temporaries(path)
        handle, name = tempfile.mkstemp(".part", f".{path.name}.", path.parent)
        try:
            yield Path(name)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(name, 0o666 & ~mask)  # mkstemp makes files that only the user may read
            os.fsync(handle)  # else a loss of power may leave an empty file
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        finally:
            os.close(handle)


def _remove_temporaries(path: Path) -> None:
    pattern = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}\.part")
    for name in os.listdir(path.parent):
        if pattern.fullmatch(name):
            (path.parent / name).unlink(missing_ok=True)
