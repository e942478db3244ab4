# SPDX-License-Identifier: BSD-3-Clause
"""cuBLAS and cuSOLVER, which calls on a CUDA device use where they are installed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType

from sigmascope._host.native import cuda
from sigmascope.errors import DeviceError

from .memory import NeedOf
from .memory_plan import CallMemory

EXTRA = "pip install 'sigmascope[cuda]'"

LEAST_ORDER = 1024
"""Least order of a matrix whose eigenvalues, or eigenvectors, a device computes."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library of CUDA that is opened at run time.

    Attributes
    ----------
    name : str
        "cuBLAS".
    path : str
        Its file; empty if it cannot be used.
    version : str
        "13.1.0"; empty if it cannot be used.
    reason : str
        Why it cannot be used, with the command that helps.
    """

    name: str
    path: str = ""
    version: str = ""
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.path else f"no {self.name} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Libraries:
    """The libraries of CUDA that calls on a device use."""

    cublas: Library
    cusolver: Library

    def notes(self, order: int, what: str = "eigenvalues") -> tuple[str, ...]:
        """Return notes of a result: what formed its Gram matrix, and what computed `what`.

        `order`: of the Gram matrix. The processor computes `what` if it is small, without a note.
        """
        gram = "formed the Gram matrix"
        missing = f"a slower kernel {gram}: {self.cublas}"
        formed = f"{self.cublas} {gram}" if self.cublas.path else missing
        if order < LEAST_ORDER:
            return (formed,)
        missing = f"the CPU computed the {what}: {self.cusolver}"
        return formed, f"{self.cusolver} computed the {what}" if self.cusolver.path else missing


def libraries() -> Libraries:
    """Find and open the libraries, once per process; for a missing one, keep the reason."""
    module = _module()
    return Libraries(_library(module, "cuBLAS"), _library(module, "cuSOLVER"))


def libraries_of(index: int | None) -> Libraries | None:
    """Return the libraries that a call on a device uses; None on the CPU."""
    return None if index is None else libraries()


def paths(opened: Libraries | None) -> dict[str, str]:
    """Return the keyword arguments of native calls that form a Gram matrix."""
    return (
        {} if opened is None else {"cublas": opened.cublas.path, "cusolver": opened.cusolver.path}
    )


def with_device_gram(need: NeedOf, memory: CallMemory, wanted: str = "") -> NeedOf:
    """Add to a need the memory that forming a Gram matrix on a CUDA device takes beyond it.

    `wanted`: "eigenvalues" or "eigenvectors", which the device computes with the installed
    libraries. By default, add the most that any library may take for only the Gram matrix. A need
    of eigenvectors already includes two more squares, which they take on the processor.
    """
    index, (n, m) = memory.options.device.index, sorted(memory.a.shape)
    if index is None:
        return need
    opened = libraries() if wanted else None
    taken = gram_nbytes(m, n, opened)
    if opened is not None:
        vectors = wanted == "eigenvectors"
        whole = eigenvalue_nbytes(index, n, opened, vectors=vectors)
        taken = max(taken, whole - 16 * n**2 * vectors)
    return lambda layout: need(layout).plus(taken)


def gram_nbytes(rows: int, n: int, opened: Libraries | None) -> int:
    """Return the device memory that forming a Gram matrix of order n takes beyond the matrix.

    Without `opened`, it is the larger need of the two ways to form it.
    """
    ways = (True, False) if opened is None else (bool(opened.cublas.path),)
    return max(int(_module().gram_bytes(rows, n, by_cublas=way)) for way in ways)


def eigenvalue_nbytes(index: int, n: int, opened: Libraries, *, vectors: bool = False) -> int:
    """Return the device memory for eigenvalues, or vectors; 0 if the processor computes them."""
    path = opened.cusolver.path
    if not path or n < LEAST_ORDER:
        return 0
    return _cusolver_nbytes(_module(), index, path, n, vectors)


@cache
def _cusolver_nbytes(module: ModuleType, index: int, path: str, n: int, vectors: bool) -> int:
    """Ask cuSOLVER for its need, once for each order; this takes a handle on the device."""
    return int(module.cusolver_bytes(index, path, n, vectors=vectors))


def _module() -> ModuleType:
    module = cuda()
    assert module is not None
    return module


@cache
def _library(module: ModuleType, name: str) -> Library:
    try:
        path = module.__file__ if module.config()["simulated"] else found_path(name)
        assert path is not None
        return Library(name, path, getattr(module, f"{name.lower()}_version")(path))
    except DeviceError as error:
        return Library(name, reason=str(error))


def found_path(name: str) -> str:
    """Return the file of a library, installed with the package, by conda or in the system.

    Raises
    ------
    DeviceError
        If there is no such file; the message says what to do.
    """
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib
    except ImportError:
        raise DeviceError(f"cuda-pathfinder, which finds {name}, is missing; {EXTRA}") from None
    try:
        path = load_nvidia_dynamic_lib(name.lower()).abs_path
    except RuntimeError as error:
        first = str(error).strip().partition("\n")[0]
        raise DeviceError(f"{name} is not installed ({first}); {EXTRA}") from error
    if path is None:
        raise DeviceError(f"the path of {name} is unknown, although it is loaded; {EXTRA}")
    return str(path)
