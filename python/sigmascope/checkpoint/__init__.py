# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints on disk: which files, which tensors, what they are, and which are matrices."""

from sigmascope.checkpoint.checkpoint import (
    Checkpoint,
    TensorRecord,
    as_checkpoint,
    open_checkpoint,
)
from sigmascope.checkpoint.roles import Role, role_of

__all__ = ["Checkpoint", "Role", "TensorRecord", "as_checkpoint", "open_checkpoint", "role_of"]
