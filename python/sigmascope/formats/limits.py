# SPDX-License-Identifier: BSD-3-Clause
"""Limits of single formats; the limits of `extension.readers` hold for all readers as well."""

from __future__ import annotations

MAX_FIELDS = 4_000_000
"""Largest number of fields in an ONNX model, and of values in a file of flax.

A node of a graph is one field, and a tensor about ten.
"""

MAX_VARINT_BYTES = 20_000_000
"""Largest size in bytes of a tensor in an ONNX model whose numbers are varints."""
