# SPDX-License-Identifier: BSD-3-Clause
"""What tells one checkpoint from another, wherever it stands: names, sizes, and a look inside."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import TypedDict

from sigmascope._display.text import path_text
from sigmascope._host.files import open_regular
from sigmascope.errors import CheckpointError
from sigmascope.limits import MAX_JSON_BYTES

_PIECES = 8
_PIECE = 4096


class FileIdentity(TypedDict):
    """One file of a checkpoint: its name without folders, bytes, and a digest of its content."""

    name: str
    size: int
    digest: str


def file_identity(path: Path) -> FileIdentity:
    """Return what a copy of the file shares with it, and no other model of that shape.

    The digest is the SHA-256 of a safetensors file's header, and of eight pieces of 4 KiB spread
    evenly over the file: two checkpoints of one training run differ in their numbers alone.
    Reads these bytes; a change that misses every piece is not noticed.

    Raises
    ------
    CheckpointError
        The file cannot be read.
    """
    try:
        with open_regular(path) as file:
            # Without the read-ahead of the system, so that hardly a page is left in its cache.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            size = os.fstat(file.fileno()).st_size
            digest = sha256()
            if path.suffix == ".safetensors":
                length = int.from_bytes(os.pread(file.fileno(), 8, 0), "little")
                digest.update(os.pread(file.fileno(), 8 + min(length, MAX_JSON_BYTES), 0))
            for piece in range(_PIECES):
                offset = max(size - _PIECE, 0) * piece // (_PIECES - 1)
                digest.update(os.pread(file.fileno(), _PIECE, offset))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    return FileIdentity(name=path_text(path.name), size=size, digest=digest.hexdigest())
