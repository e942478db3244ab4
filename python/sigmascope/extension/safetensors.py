# SPDX-License-Identifier: BSD-3-Clause
"""Headers of safetensors files, for packages that copy tensors as they are stored."""

from __future__ import annotations

from sigmascope.checkpoint.formats.entries import Header, TensorEntry
from sigmascope.checkpoint.formats.safetensors import read_header

__all__ = ["Header", "TensorEntry", "read_header"]
