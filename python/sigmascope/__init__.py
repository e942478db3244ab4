# SPDX-License-Identifier: BSD-3-Clause
"""Spectra of huge sharded matrices, each number with its error.

Arrays, files and checkpoints become lazy matrices (:func:`matrix`, :func:`block`,
:func:`open_checkpoint`); :func:`svds`, :func:`svdvals`, :func:`spectral_density`,
:func:`spectrum`, :func:`scan` and :func:`compare` read them panel by panel.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sigmascope._host.interrupts import end_at_once

end_at_once()

from sigmascope import errors as errors
from sigmascope._host.native import _core

if TYPE_CHECKING:
    from sigmascope import adapters as adapters
    from sigmascope import bench as bench
    from sigmascope import diagnosis as diagnosis
    from sigmascope import extension as extension
    from sigmascope import provenance as provenance
    from sigmascope import results as results
    from sigmascope import series as series
    from sigmascope import sklearn as sklearn
    from sigmascope import streaming as streaming
    from sigmascope._execution.build import available_devices, show_config
    from sigmascope._host.resources import Resources
    from sigmascope._host.threads import set_num_threads
    from sigmascope.analysis.approximation import low_rank
    from sigmascope.analysis.low_rank import LowRank
    from sigmascope.analysis.spectrum import spectrum
    from sigmascope.checkpoint import Checkpoint, open_checkpoint
    from sigmascope.comparing import compare
    from sigmascope.comparing.extracting import extract
    from sigmascope.comparing.shared_directions import shared_directions
    from sigmascope.matrices.joins import block, hstack, vstack
    from sigmascope.matrices.matrix import Matrix, multiply
    from sigmascope.matrices.scipy_operator import aslinearoperator
    from sigmascope.matrices.sources import matrix, tensor
    from sigmascope.scanning import scan
    from sigmascope.series.merging import merge
    from sigmascope.solvers.density import spectral_density
    from sigmascope.solvers.moments import moments
    from sigmascope.solvers.randomized import randomized_svd
    from sigmascope.solvers.svds import svds
    from sigmascope.solvers.svdvals import svdvals

__version__: str = _core.config()["version"]

__all__ = [
    "Checkpoint",
    "LowRank",
    "Matrix",
    "Resources",
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

_HOMES = {
    "Checkpoint": "checkpoint",
    "LowRank": "analysis.low_rank",
    "Matrix": "matrices.matrix",
    "Resources": "_host.resources",
    "aslinearoperator": "matrices.scipy_operator",
    "available_devices": "_execution.build",
    "block": "matrices.joins",
    "compare": "comparing",
    "extract": "comparing.extracting",
    "hstack": "matrices.joins",
    "low_rank": "analysis.approximation",
    "matrix": "matrices.sources",
    "merge": "series.merging",
    "moments": "solvers.moments",
    "multiply": "matrices.matrix",
    "open_checkpoint": "checkpoint",
    "randomized_svd": "solvers.randomized",
    "scan": "scanning",
    "set_num_threads": "_host.threads",
    "shared_directions": "comparing.shared_directions",
    "show_config": "_execution.build",
    "spectral_density": "solvers.density",
    "spectrum": "analysis.spectrum",
    "svds": "solvers.svds",
    "svdvals": "solvers.svdvals",
    "tensor": "matrices.sources",
    "vstack": "matrices.joins",
}
"""The module of each public name, which is imported at the first use of the name."""

_PUBLIC_PACKAGES = (
    "adapters",
    "bench",
    "diagnosis",
    "extension",
    "provenance",
    "results",
    "series",
    "sklearn",
    "streaming",
)
"""Packages that are imported at their first use as attributes of this one."""


_WITH_SEARCHED_NAMES = (
    "results",
    "errors",
    "streaming",
    "adapters",
    "series",
    "diagnosis",
    "provenance",
)
"""Modules that need NumPy alone: an error says which of them has a name."""


if not TYPE_CHECKING:  # with this function a type checker accepts every name

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            value = getattr(import_module(f"sigmascope.{_HOMES[name]}"), name)
            globals()[name] = value
            return value
        if name in _PUBLIC_PACKAGES and _is_installed(name):
            return import_module(f"sigmascope.{name}")
        message = f"module 'sigmascope' has no attribute {name!r}"
        if not name.startswith("_"):
            for place in _WITH_SEARCHED_NAMES:
                if _is_installed(place) and name in import_module(f"sigmascope.{place}").__all__:
                    message += f": it is sigmascope.{place}.{name}"
        raise AttributeError(message, name=name, obj=sys.modules[__name__])

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES, *filter(_is_installed, _PUBLIC_PACKAGES)})


def _is_installed(package: str) -> bool:
    return find_spec(f"sigmascope.{package}") is not None
