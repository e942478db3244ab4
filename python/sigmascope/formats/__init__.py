# SPDX-License-Identifier: BSD-3-Clause
"""Less common formats of checkpoints: ONNX, HDF5 and Keras, orbax, flax.

Each is a :class:`~sigmascope.checkpoint.Reader`. :func:`~sigmascope.open_checkpoint` finds it by an
entry point, like the readers of other packages, and imports it when a file has the format.
"""

from __future__ import annotations

__all__: list[str] = []
