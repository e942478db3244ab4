# SPDX-License-Identifier: BSD-3-Clause
"""One change of an adapter, as the headers describe it."""

from __future__ import annotations

from dataclasses import dataclass

from .settings import Version


@dataclass(frozen=True, slots=True)
class Module:
    """One change of an adapter.

    Attributes
    ----------
    name, weight : str
        Names of the change and of the weight in the base model.
    label : str or None
        Name of the adapter, if there are several.
    status : str
        "product", "whole" or "unreadable"; the latter two have a `reason`.
    A, B : str
        Names of the factors.
    scale, rank, alpha : float, int, float
        The product is scale B A; the scale is alpha / rank, or alpha / sqrt(rank) with rsLoRA.
    transposed : bool
        True if the weight is the transpose of the product.
    dtype, shape, nbytes, file, offset
        As in its record.
    note : str or None
        A remark.
    stored : str
        Name of the tensor that is saved in full.
    magnitude : str
        Name of the magnitudes of DoRA. The change depends on the base, so its status is
        "unreadable".
    parameter : bool
        True if PEFT adapts the weight by its own name (`target_parameters`).
    index, count : int or None, int
        Index of the matrix in a stack, and number of matrices; None and 1 without a stack. The
        factors of matrix i are rows i r, ..., i r + r - 1 of A, and columns i, i + count, ... of B.
    version : tuple of int or None
        Version of PEFT that wrote a stack. It decides the orientation of the products.
    """

    name: str
    weight: str
    status: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    file: str
    offset: int
    label: str | None = None
    reason: str | None = None
    A: str = ""
    B: str = ""
    scale: float = 0.0
    alpha: float = 0.0
    rank: int = 0
    transposed: bool = False
    note: str | None = None
    stored: str = ""
    magnitude: str = ""
    parameter: bool = False
    index: int | None = None
    count: int = 1
    version: Version | None = None


def name_of(weight: str, label: str | None) -> str:
    """Return the name of a change: the weight's, and the adapter's if there are several."""
    return weight if label is None else f"{weight}[{label}]"
