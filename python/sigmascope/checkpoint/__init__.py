# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints on disk: their files, tensors, roles, and matrices."""

from .assembly import Origin
from .checkpoint import Checkpoint, as_checkpoint, open_checkpoint, reopened
from .formats.identity import FileIdentity, file_identity
from .naming.roles import Role, role_of
from .record import TensorRecord

__all__ = [
    "Checkpoint",
    "FileIdentity",
    "Origin",
    "Role",
    "TensorRecord",
    "as_checkpoint",
    "file_identity",
    "open_checkpoint",
    "reopened",
    "role_of",
]
