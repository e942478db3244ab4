# SPDX-License-Identifier: BSD-3-Clause
"""Every singular value of a matrix, through its Gram matrix."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Unpack, overload

import numpy as np

from sigmascope._execution import arguments, distributed
from sigmascope._execution.keywords import ComputeOptions
from sigmascope._execution.libraries import libraries_of, paths, with_device_gram
from sigmascope._execution.memory import NeedOf, values_need
from sigmascope._execution.memory_plan import CallMemory, MemoryPlan
from sigmascope._execution.options import CallOptions
from sigmascope._host.keywords import public
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.stacks import ArrayOfAnyShape, ManyMatrices, OneMatrix, stack_of
from sigmascope.spectra import SingularValues, SingularValuesStack

from .stacked import run_stack, values_stack


@overload
def svdvals(
    A: ArrayOfAnyShape,
    *,
    accuracy: str = "reference",
    **options: Unpack[ComputeOptions],
) -> Any: ...


@overload
def svdvals(
    A: OneMatrix,
    *,
    accuracy: str = "reference",
    **options: Unpack[ComputeOptions],
) -> SingularValues: ...


@overload
def svdvals(
    A: ManyMatrices,
    *,
    accuracy: str = "reference",
    **options: Unpack[ComputeOptions],
) -> SingularValuesStack: ...


@overload
def svdvals(
    A: Any,
    *,
    accuracy: str = "reference",
    **options: Unpack[ComputeOptions],
) -> Any: ...


@public
def svdvals(
    A: Any, *, accuracy: str = "reference", **options: Unpack[ComputeOptions]
) -> SingularValues | SingularValuesStack:
    """Compute every singular value, through the Gram matrix.

    Parameters
    ----------
    A : Matrix or anything that :func:`matrix` takes, shape (m, n); or a stack, shape (..., m, n)
        As for :func:`sigmascope.svds`.
    accuracy : {"reference", "fast"}
        "reference" forms the Gram matrix in float64. "fast" multiplies panels of 512 rows: in
        bfloat16 if every element is a bfloat16 number (and the processor has dot products for
        them), in float32 if every element is a float32 number, else in float64. It sums in float64
        every 128 rows. The values decide, not the dtype that stores them. "fast" takes about three
        quarters of the time from order 4096 on and if one side is fifteen times the other, and 1.1
        to 1.4 times as long below.
    **options
        device, num_threads, memory_limit, panel_rows, progress, executor: see
        :class:`sigmascope._execution.keywords.ComputeOptions`.

    Returns
    -------
    SingularValues
        (min(m, n),) values (sigma), descending, with the error bound of each, about
        min(d / 2 sigma, sqrt(d)), and the floor below which a value may be zero.
        "reference": d = 2e-14 * sigma_1^2, which gives a floor of 1.4e-7 * sigma_1; above order
        n = 2048, sqrt(n / 2048) times that d. "fast": d is estimated from the matrix, typically
        1e-9 to 1e-7 * sigma_1^2, more if values are equal, and the floor is 3e-5 to 3e-4 * sigma_1.
        `precision` names the format of the products. It is "float64" if "fast" fell back to the
        reference: below order 512, or if its estimate would not hold (a note says so).
    SingularValuesStack
        For a stack: values and errors (..., min(m, n)), and the evidence of each matrix, computed
        as by :func:`sigmascope.svds`. The result of each matrix has the bits of a separate call. A
        failed matrix has NaN, and its exception is in `failures`.

    Raises
    ------
    ValueError
        If `accuracy` has another value.
    NonFiniteError
        If A, or every matrix of a stack, contains NaN or infinity.
    MemoryLimitError
        If the Gram matrix does not fit into memory_limit, or into the memory of a CUDA device.
    DeviceError
        If there is no such device, or if it or one of its libraries fails.

    Warns
    -----
    FailedMatrixWarning
        If some matrices of a stack failed.

    See Also
    --------
    svds : The largest values with their vectors.
    spectrum : Measures of all values, each with its error.
    spectral_density : All values of a large matrix, as a density.

    Notes
    -----
    Two reads of A; with "fast" three. Work: m n^2 + (4/3) n^3 flops with n the smaller side.
    Memory: about n^2 + 1700 n float64 numbers. Eigenvalues by two-stage tridiagonalisation
    (Bischof, Lang & Sun 2000; Haidar, Ltaief & Dongarra 2011) and LAPACK's dqds. On a CUDA device
    cuBLAS forms the Gram matrix, and cuSOLVER computes eigenvalues from order 1024 on, where the
    extra `cuda` is installed; notes of the result name what was used.

    "fast" also reduces to tridiagonal form with float32 products, summed in float64, if that adds
    little to the error, as when one value is far above the others (a note says so). The bounds of
    "fast" are statistical, with a margin over the errors of many spectra. They assume that rounding
    errors are independent, except the errors of equal rows. One read multiplies A^T A by vectors in
    float64 and so measures the error of the Gram matrix. The measured error counts if it is larger
    than the estimate, or if errors are alike (Toeplitz matrices, few distinct values).

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> s = ss.svdvals(np.diag([3.0, 2.0, 1.0]))
    >>> np.round(s, 6), s.errors.max() < 1e-6
    (array([3., 2., 1.]), np.True_)
    """
    stack = stack_of(A)
    a = stack.pattern
    arguments.check_accuracy(accuracy)
    reads = (3 if accuracy == "fast" else 2) * len(stack.matrices)  # "fast" may fall back
    call = CallOptions.of(a, reads=reads, **options)
    method = EveryValue(accuracy)

    def compute(b: Matrix, options: CallOptions) -> SingularValues:
        values, unit = method.compute(b, options)
        return values.scaled(unit)

    if stack.is_single:
        return compute(a, call)
    p = min(a.shape)
    return values_stack(run_stack("svdvals", stack, compute, call, method.suffices, 16 * p), p)


@dataclass(frozen=True, slots=True)
class EveryValue:
    """The values of :func:`svdvals` in units of 2^unit, and that exponent.

    Results of a matrix whose values leave float64's range can be combined in these units.
    """

    accuracy: str

    def need(self, memory: CallMemory) -> NeedOf:
        """Return the need of the Gram matrix and its eigenvalues."""
        need = partial(values_need, fast=self.accuracy == "fast")
        return with_device_gram(need, memory, "eigenvalues")

    def suffices(self, a: Matrix, call: CallOptions) -> bool:
        """Return whether the memory suffices for everything that the call may keep in it."""
        memory = CallMemory(a, call)
        return memory.fits_held(self.need(memory))

    def compute(
        self, a: Matrix, call: CallOptions, plan: MemoryPlan | None = None
    ) -> tuple[SingularValues, int]:
        """Compute the values of one matrix; it is read by `plan`, if a larger call has one."""
        memory = CallMemory(a, call)
        if plan is None:
            what = f"svdvals of {arguments.of_shape(a.shape)}"
            plan = memory.plan(self.need(memory), what)
        return self.run(replace(plan, memory=memory))

    def run(self, plan: MemoryPlan) -> tuple[SingularValues, int]:
        """Compute the values of the matrix of a plan."""
        call = plan.memory.options
        opened = libraries_of(call.device.index)
        started = time.perf_counter()
        fast = self.accuracy == "fast" and call.executor is None and call.device.index is None
        operand = distributed.operand(plan.memory.a, call)
        result = call.device.solvers.every_value(
            operand, fast=fast, **plan.native(), **paths(opened)
        )
        notes = list(call.device.notes)
        if opened is not None:
            notes += opened.notes(min(plan.memory.a.shape))
        if self.accuracy == "fast" and call.device.index is not None:
            notes.append("a CUDA device forms the Gram matrix in float64, whatever the accuracy")
        elif self.accuracy == "fast" and not fast:
            notes.append("workers form the Gram matrix in float64, whatever the accuracy")
        if result["fallen_back"]:
            notes.append(
                "float64 was used after all: columns are parallel, or a few have most of the norm"
            )
        if result["fast_reduction"]:
            notes.append("the eigenvalues were computed with float32 products, too")
        values = SingularValues(
            values=result["values"],
            errors=result["errors"],
            floor=result["floor"],
            method="fast Gram matrix" if fast else "Gram matrix",
            precision=result["precision"],
            passes=result["reads"],
            seconds=time.perf_counter() - started,
            num_threads=call.threads,
            fro_norm=float(np.sqrt(result["fro2"])),
            notes=tuple(notes),
        )
        return values, result["unit"]
