# SPDX-License-Identifier: BSD-3-Clause
"""Difference of two matrices of one shape: sums over the entries."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution import arguments
from sigmascope._execution.memory import Need, elementwise_need, product_need
from sigmascope._execution.memory_plan import CallMemory, MemoryPlan
from sigmascope._execution.native_results import SurveyResult
from sigmascope._execution.options import CallOptions
from sigmascope._host.native import _core
from sigmascope.errors import SigmascopeError
from sigmascope.matrices.matrix import Matrix
from sigmascope.spectra import SVD
from sigmascope.spectra.units import scaled

UNCHANGED: float = _core.UNCHANGED_PART
"""Largest change of an unchanged entry, relative to the larger of both values: about the changes
that bfloat16 hides (arXiv 2511.08567)."""


class Change(NamedTuple):
    """Sums over the entries w of W and d of dW = W' - W.

    Attributes
    ----------
    before2, change2
        ||W||_F^2 and ||dW||_F^2.
    product
        <dW, W>, the sum of d w.
    rounding
        Bound on the error of ||dW|| if dW is not the difference of stored numbers.
    """

    before2: float
    change2: float
    product: float
    rounding: float = 0.0


class Sums(NamedTuple):
    """Sums of one pass over two matrices.

    Attributes
    ----------
    change
        ||W||_F^2, ||dW||_F^2 and <dW, W>, in units of 4^unit, 4^delta_unit and 4^unit.
    after2
        ||W'||_F^2, in units of 4^unit.
    units2
        For each of the two, the sum of 2^(2 e) over the exponents e of its entries, which is
        proportional to the expected squared error of rounding to 16 bits. Subnormal numbers count
        with the least normal exponent. Powers of two count three quarters, because the next smaller
        number is half as far away. None unless both are in 16 bits, and not multiplied.
    fingerprint
        A hash of the numbers of both: see :class:`sigmascope._execution.options.CallOptions`.
    unchanged
        Number of entries with |d| <= UNCHANGED max(|w|, |w'|).
    """

    change: Change
    after2: float
    units2: tuple[float, float] | None
    fingerprint: int
    unchanged: int
    unit: int = 0
    delta_unit: int = 0


def change(before: Matrix, after: Matrix, **options: Any) -> Sums:
    """Sum w^2, d^2 and d w over the entries of two matrices in one pass over both.

    Parameters
    ----------
    before, after : Matrix, shape (m, n)
    **options
        device, num_threads, memory_limit, reserved, panel_rows, progress: see
        :class:`sigmascope._execution.options.CallOptions`.

    Returns
    -------
    Sums
        In float64; NaN or infinite if an entry is. Entries of formats up to float32 are subtracted
        practically without rounding. The sums therefore err by about 1e-14 of ||W||^2, ||dW||^2 and
        ||W|| ||dW||, however small dW is. Polarisation,
        <dW, W> = (||W'||^2 - ||W||^2 - ||dW||^2) / 2, would err by 1e-14 of ||W||^2.

    Raises
    ------
    ValueError
        If the shapes differ.
    MemoryLimitError
        If the panels do not fit into memory_limit.
    SigmascopeError
        If the squares of both norms have no common unit in float64.
    """
    if before.shape != after.shape:
        raise ValueError(f"the shapes must be the same, not {before.shape} and {after.shape}")
    both = after - before  # its plan is that of reading both at once
    plan = plan_change(both, **options)
    call = plan.memory.options
    fields = call.device.solvers.change(before.native, after.native, **plan.native())
    digests, unchanged = fields.pop("digests"), fields.pop("unchanged")
    sums = {name: float(value) for name, value in fields.items() if value is not None}
    units = None
    if "before_units2" in sums:
        units = sums["before_units2"], sums["after_units2"]
    known = Change(*(sums[name] for name in ("before2", "change2", "product")))
    norms = (math.sqrt(sums[name]) for name in ("before2", "after2"))
    known_by = [
        _core.fingerprint(digest, norm, *before.shape)
        for digest, norm in zip(digests, norms, strict=True)
    ]
    result = Sums(known, sums["after2"], units, _core.start_of(*known_by), unchanged)
    if both.precision == "float64" and not all(map(_in_range, (*known[:2], result.after2))):
        return _of_any_size(before, after, result, plan)
    return result


def plan_change(both: Matrix, **options: Any) -> MemoryPlan:
    """Plan the pass of :func:`change` over the tiles of both matrices; options and errors as there.

    `both` is the list of tiles of the difference.
    """
    call = CallOptions.of(both, **options)
    what = f"a pass over every element of two matrices of {arguments.of_shape(both.shape)}"
    return CallMemory(both, call).plan(elementwise_need, what, hold=False)


_LEAST2 = 2.0**-1000
"""Least squared norm, in units of the larger matrix; smaller ones lose digits or become 0."""


def _in_range(square: float) -> bool:
    """Return whether every part of a sum of squares that matters is in the range of float64."""
    return 2.0**-800 < square < 2.0**800


def _of_any_size(before: Matrix, after: Matrix, sums: Sums, plan: MemoryPlan) -> Sums:
    """Sum again, with the matrices times powers of two; a zero is then exact, not an underflow."""
    native, on = plan.memory.options.device.solvers, plan.native()
    seen = [native.survey(a.native, **on) for a in (before, after, after - before)]
    if any(one["nan"] or one["inf"] for one in seen):
        return sums
    unit = max(one["unit"] for one in seen[:2])
    if unit == 0 and all(one["unit"] == 0 for one in seen):
        return sums
    before2, after2 = (scaled(one["fro2"], 2 * (one["unit"] - unit)) for one in seen[:2])
    if any(
        one["fro2"] > 0 and x < _LEAST2 for one, x in zip(seen, (before2, after2), strict=False)
    ):
        one, other = (scaled(math.sqrt(one["fro2"]), one["unit"]) for one in seen[:2])
        raise SigmascopeError(
            f"norms {one:.3g} and {other:.3g} differ too much to be compared in float64: multiply "
            "one of the matrices by a power of two"
        )
    down = 2.0**-unit
    product = native.change((before * down).native, (after * down).native, **on)
    known = Change(before2, seen[2]["fro2"], float(product["product"] or 0.0))
    return sums._replace(change=known, after2=after2, unit=unit, delta_unit=seen[2]["unit"])


def fingerprint(*matrices: Matrix, **options: Any) -> int:
    """Return a hash of the numbers of several matrices, in one pass over each.

    Options as for :func:`change`; the hash is the `fingerprint` of
    :class:`sigmascope._execution.options.CallOptions`.
    """
    together = 0
    for a in matrices:
        seen = _surveyed(a, **options)
        own = _core.fingerprint(seen["digest"], seen["largest"], *a.shape)
        together = _core.start_of(own, together)
    return together


def content_key(a: Matrix, **options: Any) -> tuple[Any, ...]:
    """Return a key that tells whether the numbers of a matrix have changed, in one pass.

    Options as for :func:`change`. Unlike a fingerprint it differs between a matrix and its
    multiples by powers of two. Different numbers share a key with a probability of about 2^-32,
    unless somebody constructed them to do so.
    """
    seen = _surveyed(a, **options)
    return (a.shape, a.dtype, seen["digest"], seen["largest"], seen["nan"], seen["inf"])


def _surveyed(a: Matrix, **options: Any) -> SurveyResult:
    what = f"a pass over {arguments.of_shape(a.shape)}"
    call = CallOptions.of(a, **options)
    plan = CallMemory(a, call).plan(elementwise_need, what, hold=False)
    return call.device.solvers.survey(a.native, **plan.native())


def inner(svd: SVD, a: Matrix, **options: Any) -> float:
    """Sum the products of the entries of U S V^T and of A, in one pass over A.

    Parameters
    ----------
    svd : SVD of r triplets
    a : Matrix, shape (m, n)
    **options
        As for :func:`change`.

    Returns
    -------
    float
        The sum of s_k u_k^T (A v_k), with products and sums in float64. It errs by about 1e-14 of
        ||S|| ||A||, however small S is.

    Raises
    ------
    MemoryLimitError
        If A V does not fit into memory_limit.
    """
    assert svd.U is not None
    assert svd.Vt is not None
    return float(np.sum(svd.U * images(a, svd.Vt.T, **options) * svd.s))


def images(a: Matrix, X: NDArray[np.floating], **options: Any) -> NDArray[np.float64]:
    """Compute A X in float64, in one pass over A.

    Parameters
    ----------
    a : Matrix, shape (m, n)
    X : array, shape (n, k)
    **options
        As for :func:`change`.

    Raises
    ------
    MemoryLimitError
        If A X does not fit into memory_limit.
    """
    plan = plan_images(a, X.shape[1], **options)
    product = plan.memory.options.device.solvers.product_f64
    image: NDArray[np.float64] = product(a.native, X, "multiply", **plan.native())
    return image


def plan_images(a: Matrix, columns: int, **options: Any) -> MemoryPlan:
    """Plan the pass of :func:`images` for this number of columns; options and errors as there."""
    call = CallOptions.of(a, **options)
    what = f"a product of {arguments.of_shape(a.shape)} with {columns} columns"
    return CallMemory(a, call).plan(partial(product_need, columns=columns), what, hold=False)


def inner_need(a: Matrix, rank: int, **options: Any) -> Need:
    """Return the need of :func:`inner` for this number of triplets and a matrix in memory."""
    call = CallOptions.of(a, **options)
    need = partial(product_need, columns=rank)
    return CallMemory(a, call).host_need(need)
