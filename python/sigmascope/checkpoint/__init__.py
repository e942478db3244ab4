# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints on disk: their files, tensors, roles, and matrices.

For packages that register a further format (:mod:`sigmascope.checkpoint.formats.readers`):
`Reader`, `Header`, `TensorEntry`, `Usage` and `opened`.
"""

from .checkpoint import Checkpoint
from .formats.entries import Header, TensorEntry, opened
from .formats.readers import Reader
from .formats.usage import Usage
from .opening import open_checkpoint

__all__ = [
    "Checkpoint",
    "Header",
    "Reader",
    "TensorEntry",
    "Usage",
    "open_checkpoint",
    "opened",
]
