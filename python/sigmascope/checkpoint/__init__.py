# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints on disk: which files, which tensors, what they are, and which are matrices."""

from sigmascope.checkpoint.assembly import Origin
from sigmascope.checkpoint.checkpoint import Checkpoint, as_checkpoint, open_checkpoint, reopened
from sigmascope.checkpoint.identity import FileIdentity, file_identity
from sigmascope.checkpoint.record import TensorRecord
from sigmascope.checkpoint.roles import Role, role_of

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
