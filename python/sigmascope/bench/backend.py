# SPDX-License-Identifier: BSD-3-Clause
"""A backend: its call, its settings from cheap to accurate, and its abilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .cuda.libraries import DeviceLibrary
from .machine import installed, version_of
from .solvers import Answer

Setting = dict[str, Any]
Ladder = list[Setting]


@dataclass(frozen=True)
class Backend:
    """A library's function that computes the k largest singular triplets.

    Attributes
    ----------
    name, title : str
        Name for the command line, and the function that is called.
    group : str
        Name that selects all backends of one library.
    module, distribution : str
        The imported module, and the package that pip installs.
    solve : callable (source, k, seed, **setting) -> Answer
        The call. It takes every stored dtype and converts the matrix if necessary.
    ladders : callable (k) -> list of ladders
        Lists of settings, each from cheap to accurate.
    direct : callable (array), optional
        The library's call without any conversion, which shows the dtypes that it takes.
    hopeless : dict, optional
        A setting that cannot converge, for backends with a stopping rule. It shows whether the
        backend reports the failure.
    random : bool
        True if a seed changes the answer.
    out_of_core : bool
        True if it reads a matrix from its file without having all of it in memory.
    error_bound : str
        The error bound that is returned with the values; empty if there is none.
    blas_threads : int, optional
        Threads of the BLAS, if the backend has its own threads above it.
    pip : str
        The package as pip needs it, if it is not `distribution`.
    library : DeviceLibrary, optional
        The library of a CUDA device, for backends that compute on one. They take arrays of the host
        and, without a copy, arrays that the library has placed on the device.
    vectors : bool
        False if it computes only singular values.
    """

    name: str
    title: str
    group: str
    module: str
    distribution: str
    solve: Callable[..., Answer]
    ladders: Callable[[int], list[Ladder]]
    direct: Callable[[Any, int], Any] | None = None
    hopeless: Setting | None = None
    random: bool = True
    out_of_core: bool = False
    error_bound: str = ""
    blas_threads: int | None = None
    pip: str = ""
    library: DeviceLibrary | None = None
    vectors: bool = True

    @property
    def installed(self) -> bool:
        """True if its library can be imported."""
        return installed(self.module.partition(".")[0])

    @property
    def version(self) -> str | None:
        """Version of its library; None if it is not installed."""
        return version_of(self.distribution)

    @property
    def absence(self) -> tuple[str, str]:
        """Status and message of a backend that cannot run here; two empty texts if it can."""
        if not self.installed:
            return "not installed", self.install
        missing = "" if self.library is None else self.library.missing()
        return ("no device", missing) if missing else ("", "")

    @property
    def stops_itself(self) -> bool:
        """True if it has a stopping rule, and not only a number of iterations."""
        return self.hopeless is not None

    @property
    def install(self) -> str:
        """Command that installs its library."""
        return f"pip install {self.pip or self.distribution}"
