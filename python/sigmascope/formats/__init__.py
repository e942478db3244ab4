# SPDX-License-Identifier: BSD-3-Clause
"""Formats of checkpoints that fewer people have: ONNX, HDF5 and Keras, orbax, flax.

Each is a :class:`~sigmascope.checkpoint.Reader` that :func:`~sigmascope.open_checkpoint` finds by
an entry point, as it finds those of other packages, and imports when a file has the format.
"""

from __future__ import annotations

__all__: list[str] = []
