# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints on disk: their files, tensors, roles, and matrices.

For packages that register a further format (:mod:`sigmascope.checkpoint.formats.readers`):
`Reader`, `Header`, `TensorEntry`, `Usage` and `opened`.
"""

from .assembly import Origin
from .checkpoint import Checkpoint, reopened
from .formats.entries import Header, TensorEntry, opened
from .formats.identity import FileIdentity, file_identity
from .formats.readers import Reader
from .formats.usage import Usage
from .naming.roles import Role, role_of
from .opening import open_checkpoint
from .record import TensorRecord
from .tensors import HasStateDict, Tensors

__all__ = [
    "Checkpoint",
    "FileIdentity",
    "HasStateDict",
    "Header",
    "Origin",
    "Reader",
    "Role",
    "TensorEntry",
    "TensorRecord",
    "Tensors",
    "Usage",
    "file_identity",
    "open_checkpoint",
    "opened",
    "reopened",
    "role_of",
]
