# SPDX-License-Identifier: BSD-3-Clause
"""Spectra of huge sharded matrices, each number with its error.

Arrays, files and checkpoints become lazy matrices (:func:`matrix`, :func:`block`,
:func:`open_checkpoint`); :func:`svds`, :func:`svdvals`, :func:`spectral_density`,
:func:`spectrum`, :func:`scan` and :func:`compare` read them panel by panel.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sigmascope._host.interrupts import end_at_once

end_at_once()

from sigmascope import errors as errors
from sigmascope import results as results
from sigmascope._execution.build import available_devices, cuda_config
from sigmascope._host.keywords import public
from sigmascope._host.native import _core
from sigmascope._host.threads import set_num_threads
from sigmascope.analysis.approximation import low_rank
from sigmascope.analysis.low_rank import LowRank
from sigmascope.analysis.spectrum import spectrum
from sigmascope.checkpoint import Checkpoint, open_checkpoint
from sigmascope.comparing import compare, plan_compare
from sigmascope.comparing.extracting import extract
from sigmascope.comparing.shared_directions import shared_directions
from sigmascope.matrices.joins import block, hstack, vstack
from sigmascope.matrices.matrix import Matrix, multiply
from sigmascope.matrices.scipy_operator import aslinearoperator
from sigmascope.matrices.sources import matrix, tensor
from sigmascope.scanning import plan_scan, scan
from sigmascope.series.merging import merge
from sigmascope.solvers.density import spectral_density
from sigmascope.solvers.moments import moments
from sigmascope.solvers.randomized import randomized_svd
from sigmascope.solvers.svds import svds
from sigmascope.solvers.svdvals import svdvals

if TYPE_CHECKING:
    from sigmascope import adapters as adapters
    from sigmascope import bench as bench
    from sigmascope import diagnosis as diagnosis
    from sigmascope import series as series
    from sigmascope import sklearn as sklearn
    from sigmascope import streaming as streaming

__version__: str = _core.config()["version"]

__all__ = [
    "Checkpoint",
    "LowRank",
    "Matrix",
    "aslinearoperator",
    "available_devices",
    "block",
    "compare",
    "extract",
    "hstack",
    "low_rank",
    "matrix",
    "merge",
    "moments",
    "multiply",
    "open_checkpoint",
    "plan_compare",
    "plan_scan",
    "randomized_svd",
    "scan",
    "set_num_threads",
    "shared_directions",
    "show_config",
    "spectral_density",
    "spectrum",
    "svds",
    "svdvals",
    "tensor",
    "vstack",
]

_PUBLIC_PACKAGES = ("adapters", "bench", "diagnosis", "series", "sklearn", "streaming")
"""Packages that are imported at their first use as attributes of this one."""


if not TYPE_CHECKING:  # with this function a type checker accepts every name

    def __getattr__(name: str) -> ModuleType:
        if name in _PUBLIC_PACKAGES:
            return import_module(f"sigmascope.{name}")
        message = f"module 'sigmascope' has no attribute {name!r}"
        if not name.startswith("_"):
            for place in ("results", "errors", "streaming", "adapters", "series", "diagnosis"):
                if name in import_module(f"sigmascope.{place}").__all__:
                    message += f": it is sigmascope.{place}.{name}"
        raise AttributeError(message, name=name, obj=sys.modules[__name__])

    def __dir__() -> list[str]:
        return sorted({*globals(), *_PUBLIC_PACKAGES})


@public
def show_config() -> dict[str, Any]:
    """Return version, instruction set, BLAS, devices and threads of this build and machine.

    See Also
    --------
    available_devices : Names of devices for the option `device`.

    Examples
    --------
    >>> import sigmascope as ss
    >>> "devices" in ss.show_config()
    True
    """
    from sigmascope._host.threads import resolve_threads

    config = dict(_core.config())
    config["devices"] = available_devices()
    config["cuda"] = cuda_config()
    config["num_threads"] = resolve_threads(None)
    return config
