# SPDX-License-Identifier: BSD-3-Clause
"""Weights that PEFT adapts: shape, orientation and names of the factors for each kind of layer.

======== =================== ==================== ========================================
form     A                   B                    change of the weight
======== =================== ==================== ========================================
linear   (r, inputs)         (outputs, r)         B A; its transpose with fan_in_fan_out
embedding (r, words)         (width, r)           (B A)^T
kernel   (r, inputs, h, w)   (outputs, r, 1, 1)   B A, all axes but the first as columns
stack    (count r, inputs)   (outputs, r count)   B_e A_e of every matrix e, or its transpose
======== =================== ==================== ========================================

A stack is a parameter that PEFT adapts by its name (`target_parameters`, in the layout of PEFT 0.20
and later). It has three axes, or two with count = 1. The rows of A are the rows of A_0, A_1, ...;
column j count + e of B is column j of B_e.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.analysis.low_rank import LowRank
from sigmascope.checkpoint.formats.safetensors_output import Tensors
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix

from .modules import PREFIX

DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
"""Formats in which factors are stored, by their names in safetensors."""

LINEAR, EMBEDDING, KERNEL, STACK = "linear", "embedding", "kernel", "stack"

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Target:
    """A weight that an adapter changes.

    Attributes
    ----------
    module
        Name of the module of the weight; for a stack, name of the parameter.
    form
        Kind of the layer, as in the table above.
    transposed
        True if the product of the factors is the transpose of the change.
    kernel
        Extents of a kernel without its outputs: (inputs, h, w).
    index, count
        Index of a matrix in its stack, and number of matrices; 0 and 1 without a stack.
    """

    module: str
    form: str = LINEAR
    transposed: bool = False
    kernel: tuple[int, ...] = ()
    index: int = 0
    count: int = 1

    @property
    def part(self) -> str:
        """Name of the factors while the adapter is being written."""
        return f"{self.module}[{self.index}]" if self.form == STACK else self.module

    def stored(self, product: LowRank, dtype: str) -> LowRank:
        """Return the factors of a change s B A, with s = 1, rounded to the stored format.

        Raises
        ------
        ValueError
            A number is beyond the range of the format.
        """
        transposed = product.T if self.transposed else product
        B, A = (np.ascontiguousarray(x, dtype=np.float64) for x in (transposed.B, transposed.A))
        return LowRank(_rounded(B, dtype), _rounded(A, dtype), transposed.scale)

    def change(self, stored: LowRank) -> LowRank:
        """Return the change s B A of stored factors, in the orientation of the weight."""
        return stored.T if self.transposed else stored

    def tensors(self, stored: LowRank) -> Tensors:
        """Return the tensors of stored factors by their names in the part's file."""
        (dtype, A), (_, B) = _codes(stored.A), _codes(stored.B)
        if self.form == KERNEL:
            A = A.reshape(len(A), *self.kernel)
            B = B.reshape(*B.shape, *(1,) * (len(self.kernel) - 1))
        names = (factor_name(self.part, side, self.form) for side in "AB")
        return dict(zip(names, ((dtype, A), (dtype, B)), strict=True))


def check_dtype(dtype: str) -> None:
    """ValueError unless it is one of :data:`DTYPES`."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")


def factor_name(module: str, side: str, form: str = LINEAR) -> str:
    """Return the name of the tensor of a factor, "A" or "B"."""
    if form == EMBEDDING:
        return f"{PREFIX}{module}.lora_embedding_{side}"
    return f"{PREFIX}{module}.lora_{side}.weight"


def stacked(
    factors: Sequence[tuple[int, NDArray[Any], NDArray[Any]]], count: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Join the factors of a stack's matrices to A (count r, inputs) and B (outputs, r count).

    Parameters
    ----------
    factors
        Index, A and B of each matrix that has factors, as numbers or codes. Zeros extend all of
        them to the largest rank r.
    count
        Number of matrices.
    """
    _, first_a, first_b = factors[0]
    r = max(len(A) for _, A, _ in factors)
    all_a = np.zeros((count, r, first_a.shape[1]), first_a.dtype)
    all_b = np.zeros((len(first_b), r, count), first_b.dtype)
    for index, A, B in factors:
        all_a[index, : len(A)] = A
        all_b[:, : len(A), index] = B
    return all_a.reshape(count * r, -1), all_b.reshape(len(first_b), -1)


def _rounded(x: Array, dtype: str) -> Matrix:
    """Round numbers to a format of :data:`DTYPES`, ties to even.

    Raises
    ------
    ValueError
        A number is beyond the range of the format.
    """
    with np.errstate(over="ignore"):
        numbers = x.astype(np.float16 if dtype == "float16" else np.float32)
    rounded = matrix(numbers)
    if dtype == "bfloat16":
        rounded = matrix(bfloat16_codes(numbers), dtype="bf16")
    if not np.isfinite(np.asarray(rounded)).all():
        raise ValueError(f"a factor has {np.abs(x).max():.3g}, beyond the range of {dtype}")
    return rounded


def bfloat16_codes(numbers: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the codes of float32 numbers that are rounded to bfloat16, ties to even."""
    bits = numbers.view(np.uint32)
    codes = (bits + 0x7FFF + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return codes.astype(np.uint16)


def _codes(factor: Matrix) -> tuple[str, NDArray[Any]]:
    """Return the safetensors dtype and the stored numbers of a factor."""
    numbers = np.asarray(factor)
    if factor.storage == "bf16":
        return "BF16", bfloat16_codes(numbers)  # exact: they were rounded before
    if factor.storage == "f16":
        return "F16", numbers.astype(np.float16)
    return "F32", numbers.astype(np.float32, copy=False)
