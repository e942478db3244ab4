# SPDX-License-Identifier: BSD-3-Clause
"""Folders of models in the cache of the Hugging Face Hub, which hold several revisions."""

from __future__ import annotations

import re
from pathlib import Path

from sigmascope._host.files import read_regular
from sigmascope.errors import CheckpointError

from .index import format_names

_MAX_BYTES = 1000
_REVISION = re.compile(r"[0-9a-zA-Z]+")


def snapshot_of(path: Path) -> Path:
    """Return the folder of a cached model's current revision; any other path unchanged.

    The folder ``models--owner--name`` has a folder in ``snapshots`` for each revision, and
    ``refs/main`` names the current one. Without that file, the only revision is used.

    Raises
    ------
    CheckpointError
        If the current revision is missing, or is not named and there are several revisions.
    """
    snapshots = path / "snapshots"
    if not path.name.startswith("models--") or not snapshots.is_dir():
        return path
    present = sorted(each.name for each in snapshots.iterdir() if each.is_dir())
    reference = path / "refs" / "main"
    if reference.exists():
        try:
            named = read_regular(reference, _MAX_BYTES).decode("ascii").strip()
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{reference}: cannot be read: {error}") from error
        if not _REVISION.fullmatch(named) or named not in present:
            raise CheckpointError(
                f"{reference} names revision {named!r:.80}, which is not among those in "
                f"{snapshots}: {format_names(present) or 'none'}"
            )
        return snapshots / named
    if len(present) == 1:
        return snapshots / present[0]
    raise CheckpointError(
        f"{path}: there is no refs/main; open one of the revisions in {snapshots}: "
        f"{format_names(present) or 'none'}"
    )
