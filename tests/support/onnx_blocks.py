# SPDX-License-Identifier: BSD-3-Clause
"""Weights of the operator MatMulNBits, packed as its definition says, in plain NumPy."""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from tests.support.onnx_files import of_array, operation

DTYPES: dict[str, Any] = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}


class Blocks(NamedTuple):
    """The tensors of a weight by the names of the inputs, its attributes and its numbers."""

    tensors: dict[str, tuple[str, NDArray[Any]]]
    attributes: dict[str, int]
    numbers: NDArray[np.float32]

    def stored(self, stem: str = "") -> list[bytes]:
        """The initialisers."""
        return [of_array(stem + name, *each) for name, each in self.tensors.items()]

    def node(self, stem: str = "", name: str = "n", **changes: int) -> bytes:
        """The node that uses them."""
        inputs = ["x", stem + "B", stem + "scales"]
        inputs += [stem + each if each in self.tensors else "" for each in ("zero_points", "g_idx")]
        numbers = self.attributes | changes
        return operation("MatMulNBits", *inputs, name=name, domain="com.microsoft", **numbers)


def packed_bytes(codes: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Pack codes along the last axis into bytes, the first one lowest."""
    each = 8 // bits
    padded = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % each)])
    groups = padded.reshape(*codes.shape[:-1], -1, each)
    result: NDArray[np.uint8] = (groups << bits * np.arange(each)).sum(-1).astype(np.uint8)
    return result


def blocks(
    shape: tuple[int, int],
    bits: int,
    size: int,
    *,
    dtype: str = "F32",
    zeros: str = "packed",
    index: str = "",
    flat: bool = False,
) -> Blocks:
    """Make a weight in which every row has codes from the least to the largest.

    `zeros` is "packed", "numbers" or ""; `index` is "short", "padded" or "".
    """
    rng = np.random.default_rng([*shape, bits, size])
    n, k = shape
    count = -(-k // size)
    codes = np.stack([rng.permutation(count * size) % (1 << bits) for _ in range(n)])
    scales = rng.uniform(-0.1, 0.1, (n, count)).astype(DTYPES[dtype])
    results = {
        "B": ("U8", packed_bytes(codes.reshape(n, count, size), bits)),
        "scales": (dtype, scales),
    }
    offsets = np.full((n, count), 1 << (bits - 1), np.float32)
    if zeros == "packed":
        whole = rng.integers(0, 1 << bits, (n, count))
        results["zero_points"] = ("U8", packed_bytes(whole, bits))
        offsets = whole.astype(np.float32)
    elif zeros:
        some = rng.uniform(0, (1 << bits) - 1, (n, count)).astype(DTYPES[dtype])
        results["zero_points"] = (dtype, some)
        offsets = some.astype(np.float32)
    groups = np.arange(count * size) // size
    if index:
        groups = rng.integers(0, count, count * size)
        taken = groups[:k] if index == "short" else groups
        results["g_idx"] = ("I32", taken.astype(np.int32))
    if flat:
        results |= {
            name: (kind, each.ravel()) for name, (kind, each) in results.items() if name != "B"
        }
    numbers = (codes.astype(np.float32) - offsets[:, groups]) * scales.astype(np.float32)[:, groups]
    return Blocks(
        results, {"K": k, "N": n, "bits": bits, "block_size": size}, numbers[:, :k].copy()
    )
