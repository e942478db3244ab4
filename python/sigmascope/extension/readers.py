# SPDX-License-Identifier: BSD-3-Clause
"""Names for packages that read a format of checkpoints.

`Reader`, `Header`, `TensorEntry` and `opened` are in :mod:`sigmascope.checkpoint`. This module adds
the limits that every reader keeps, checks of names and JSON texts in untrusted files, descriptions
of files by their first bytes, and tensors whose bytes a reader makes when they are used.
"""

from __future__ import annotations

from sigmascope._host.formats import described, first_member, recognised
from sigmascope._host.limits import (
    MAX_DIMENSIONS,
    MAX_JSON_BYTES,
    MAX_NESTING,
    MAX_TENSORS,
)
from sigmascope.checkpoint.formats.entries import DTYPE_BITS, is_integer, start_of
from sigmascope.checkpoint.formats.file_stream import FileStream
from sigmascope.checkpoint.formats.gathered import GatheredTensors, Piece, PiecedTensor
from sigmascope.checkpoint.formats.index import format_names, is_plain
from sigmascope.checkpoint.formats.jsontext import brief, parse_json, unique
from sigmascope.checkpoint.formats.memory import DTYPE_NAMES
from sigmascope.checkpoint.formats.names import (
    MAX_SIZE,
    check_count,
    check_extent,
    checked_name,
    joined,
)
from sigmascope.checkpoint.formats.pickled_tree import WRAPPERS
from sigmascope.checkpoint.formats.stored import Stored, StoredSource
from sigmascope.checkpoint.formats.virtual_files import VirtualArrays, VirtualFile
from sigmascope.checkpoint.remote.paths import FilePart, Place

__all__ = [
    "DTYPE_BITS",
    "DTYPE_NAMES",
    "MAX_DIMENSIONS",
    "MAX_JSON_BYTES",
    "MAX_NESTING",
    "MAX_SIZE",
    "MAX_TENSORS",
    "WRAPPERS",
    "FilePart",
    "FileStream",
    "GatheredTensors",
    "Piece",
    "PiecedTensor",
    "Place",
    "Stored",
    "StoredSource",
    "VirtualArrays",
    "VirtualFile",
    "brief",
    "check_count",
    "check_extent",
    "checked_name",
    "described",
    "first_member",
    "format_names",
    "is_integer",
    "is_plain",
    "joined",
    "parse_json",
    "recognised",
    "start_of",
    "unique",
]
