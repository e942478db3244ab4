# SPDX-License-Identifier: BSD-3-Clause
"""Stacks of matrices: arrays of shape (..., m, n), and sequences of arrays that stack."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Never, Protocol

import numpy as np

from .arrays import array_of, check_unmasked
from .matrix import Matrix
from .products import Products, products_of
from .sources import matrix

ArrayOfAnyShape = np.ndarray[tuple[Never, Never], np.dtype[Any]]
"""An array whose type does not say how many axes it has, as NDArray: a matrix or a stack.

No axis has the type Never, so this matches only an unknown shape. Its overload comes first, since a
type checker accepts an unknown shape as any shape.
"""

Array2D = np.ndarray[tuple[int, int], np.dtype[Any]]

OneMatrix = Matrix | str | os.PathLike[str] | Array2D | Sequence[Sequence[float]]
"""Type checkers take these for one matrix."""

ManyMatrices = (
    Sequence[Matrix]
    | Sequence[Array2D]
    | np.ndarray[tuple[int, int, int, *tuple[int, ...]], np.dtype[Any]]
)
"""Type checkers take these for a stack, including a list of NDArray, whose arrays may be rows."""


class SparseMatrix(Protocol):
    """A sparse matrix of SciPy."""

    def tocsr(self) -> Any:
        """Return the matrix in compressed rows."""


class HasProducts(Protocol):
    """A linear operator, like SciPy's."""

    def matvec(self, x: Any, /) -> Any:
        """Return the product with a vector."""


ByProducts = SparseMatrix | HasProducts
"""One matrix that is used only through its products."""


@dataclass(frozen=True, slots=True)
class MatrixStack:
    """The matrices of a call: a stack of them, or a single one.

    Attributes
    ----------
    shape : tuple of int
        Leading axes; () for a single matrix.
    matrices : tuple of Matrix
        The matrices in row order. They have one shape, one dtype and one device.
    pattern : Matrix
        A matrix of that shape, dtype and device, for checks of options: the first one, unless the
        stack is empty.
    products : Products or None
        Products of a single sparse matrix or operator; `pattern` then has its shape and dtype.
    """

    shape: tuple[int, ...]
    matrices: tuple[Matrix, ...]
    pattern: Matrix
    products: Products | None = None

    @property
    def is_single(self) -> bool:
        """True for one matrix, False for a stack of any length."""
        return self.shape == ()


def stack_of(source: Any, *, products: bool = False) -> MatrixStack:
    """Make the matrices of an array of shape (..., m, n), without a copy.

    Parameters
    ----------
    source : anything that :func:`sigmascope.matrix` takes, stack, or sequence
        An array or a tensor with three dimensions or more is a stack, wherever its numbers are. So
        is a sequence of matrices, or of stacks, of one shape, one dtype and one device.
    products : bool
        Whether to accept a sparse matrix or a linear operator too, as a single matrix.

    Raises
    ------
    ValueError
        If the parts of a sequence differ in shape, dtype or device.
    TypeError
        If indexing does not give the matrices of a stack, or as in :func:`sigmascope.matrix`.
    """
    if isinstance(source, Matrix):
        return MatrixStack((), (source,), source)
    if products and (known := products_of(source)) is not None:
        pattern = matrix(np.broadcast_to(np.zeros((), known.precision), known.shape))
        return MatrixStack((), (pattern,), pattern, known)
    if isinstance(source, list | tuple):
        check_unmasked(source)
        if source and all(getattr(part, "ndim", 0) >= 2 for part in source):
            return _joined([stack_of(part) for part in source])
        source = array_of(source)
    shape = tuple(getattr(source, "shape", ()))
    if len(shape) < 3:
        a = matrix(source)
        return MatrixStack((), (a,), a)
    check_unmasked(source)
    if not hasattr(source, "__getitem__"):
        kind = type(source).__name__
        raise TypeError(f"a stack of matrices must support indexing, and a {kind} does not")
    matrices = tuple(matrix(source[index]) for index in np.ndindex(shape[:-2]))
    pattern = matrices[0] if matrices else _without_numbers(source)
    return MatrixStack(shape[:-2], matrices, pattern)


def _joined(stacks: Sequence[MatrixStack]) -> MatrixStack:
    kinds = {(*each.shape, *each.pattern.shape, _kind(each.pattern)): each for each in stacks}
    if len(kinds) > 1:
        first, second, *_ = (_described(each) for each in kinds.values())
        raise ValueError(
            f"the matrices of a stack must have the same shape, dtype and device, but these are "
            f"{first} and {second}; call the function for each of them: [function(a) for a in "
            "matrices]"
        )
    matrices = tuple(a for each in stacks for a in each.matrices)
    return MatrixStack((len(stacks), *stacks[0].shape), matrices, stacks[0].pattern)


def _kind(a: Matrix) -> tuple[str, str, str]:
    return a.storage, a.precision, a.device


def _described(stack: MatrixStack) -> str:
    a = stack.pattern
    extents = " x ".join(map(str, (*stack.shape, *a.shape)))
    stored = f"mixed formats in {a.precision}" if a.storage == "mixed" else a.storage
    return f"{extents} of {stored} on {a.device}"


def _without_numbers(source: Any) -> Matrix:
    """Make a matrix of zeros with the shape and dtype of an empty stack.

    It stores one number, in the memory of the host.
    """
    dtype = source.dtype
    if not isinstance(dtype, np.dtype):  # of torch
        dtype = np.dtype(np.float64 if "float64" in str(dtype) else np.float32)
    return matrix(np.broadcast_to(np.zeros((), dtype), tuple(source.shape[-2:])))
