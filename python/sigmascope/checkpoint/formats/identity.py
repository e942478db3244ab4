# SPDX-License-Identifier: BSD-3-Clause
"""Identity of checkpoint files, independent of their folder: names, sizes, and digests."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import TypedDict

from sigmascope._host.files import open_regular
from sigmascope._host.limits import MAX_JSON_BYTES
from sigmascope._words.text import path_text
from sigmascope.errors import CheckpointError

_PIECES = 8
_PIECE = 4096


class FileIdentity(TypedDict):
    """Identity of a file: its name without folders, its size in bytes, and a digest of samples."""

    name: str
    size: int
    digest: str


def file_identity(path: Path) -> FileIdentity:
    """Return a file's identity: equal for copies, different for other weights of the same shape.

    The digest is the SHA-256 of a safetensors file's header, and of eight pieces of 4 KiB spread
    evenly over the file: two checkpoints of one training run differ only in their numbers. Only
    these bytes are read, so a change outside of them is not detected.

    Raises
    ------
    CheckpointError
        The file cannot be read.
    """
    try:
        with open_regular(path) as file:
            # Without read-ahead, so that few pages of the file enter the page cache.
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
