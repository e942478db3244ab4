# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints on disk: their files, tensors, roles, and matrices."""

from .assembly import Origin
from .checkpoint import Checkpoint
from .formats.identity import FileIdentity, file_identity
from .naming.roles import Role, role_of
from .opening import open_checkpoint, reopened
from .record import TensorRecord
from .tensors import HasStateDict, Tensors

__all__ = [
    "Checkpoint",
    "FileIdentity",
    "HasStateDict",
    "Origin",
    "Role",
    "TensorRecord",
    "Tensors",
    "file_identity",
    "open_checkpoint",
    "reopened",
    "role_of",
]
