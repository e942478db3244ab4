# SPDX-License-Identifier: BSD-3-Clause
"""Matrices in block layouts of GGML, and their numbers as the `gguf` package has them."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

import sigmascope as ss

SIZES = {kind.name: sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
"""Numbers and bytes of a block of each type, as the `gguf` package has them."""

PLAIN = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8")
"""Types whose blocks are single numbers."""

# fmt: off
LAYOUTS = (
    "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_k",
    "iq2_xxs", "iq2_xs", "iq3_xxs", "iq1_s", "iq4_nl", "iq3_s", "iq2_s", "iq4_xs", "iq1_m",
    "tq1_0", "tq2_0", "mxfp4", "nvfp4",
)
# fmt: on
"""Layouts that are decoded."""


def dequantised(layout: str, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the numbers of blocks as the `gguf` package has them; it does not know Q8_K."""
    with np.errstate(all="ignore"):
        if layout == "q8_k":
            scale = np.ascontiguousarray(rows[:, :4]).view(np.float32)
            return scale * rows[:, 4:260].view(np.int8).astype(np.float32)
        numbers = gguf.dequantize(rows, gguf.GGMLQuantizationType[layout.upper()])
    return np.asarray(numbers, np.float32)


def assert_same_bits(decoded: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
    """Check that the bits are equal, but for those of NaN."""
    nan = np.isnan(wanted)
    np.testing.assert_array_equal(np.isnan(decoded), nan)
    np.testing.assert_array_equal(decoded.view(np.uint32)[~nan], wanted.view(np.uint32)[~nan])


def stored(folder: Path, layout: str, rows: NDArray[np.uint8], count: int) -> ss.Matrix:
    """Write blocks to a file, after three other bytes, and return the matrix of so many rows."""
    elements, nbytes = SIZES[layout.upper()]
    path = folder / layout
    path.write_bytes(b"abc" + rows.tobytes())
    return ss.tensor(path, 3, (count, rows.size // count // nbytes * elements), layout)
