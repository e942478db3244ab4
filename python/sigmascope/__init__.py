# SPDX-License-Identifier: BSD-3-Clause
"""Spectra of huge sharded matrices, each number with its error.

Arrays, files and checkpoints become lazy matrices (:func:`matrix`, :func:`block`,
:func:`open_checkpoint`); :func:`svds`, :func:`svdvals`, :func:`spectral_density`,
:func:`spectrum`, :func:`scan` and :func:`compare` read them panel by panel.
"""

from __future__ import annotations

from typing import Any

from . import _core
from .adapters import Adapter, open_adapter
from .analysis import spectrum
from .checkpoint import Checkpoint, open_checkpoint
from .comparing import Comparison, compare
from .distributions import moments, spectral_density
from .engine import available_devices
from .errors import (
    CheckpointError,
    ConvergenceWarning,
    DeviceError,
    MemoryLimitError,
    NonFiniteError,
    SigmascopeError,
)
from .linalg import svds, svdvals
from .low_rank import LowRank
from .matrices import Matrix, multiply
from .randomized import randomized_svd
from .scanning import Scan, ScanPlan, merge, plan_scan, scan
from .series import Reference, Trajectory, reference, trajectory
from .sources import aslinearoperator, block, hstack, matrix, tensor, vstack
from .spectra import SVD, Density, Measure, Moments, SingularValues, Spectrum
from .streaming import GramAccumulator, LinearSketch, MomentsAccumulator, Sketch
from .threads import set_num_threads

__version__: str = _core.config()["version"]

__all__ = [
    "SVD",
    "Adapter",
    "Checkpoint",
    "CheckpointError",
    "Comparison",
    "ConvergenceWarning",
    "Density",
    "DeviceError",
    "GramAccumulator",
    "LinearSketch",
    "LowRank",
    "Matrix",
    "Measure",
    "MemoryLimitError",
    "Moments",
    "MomentsAccumulator",
    "NonFiniteError",
    "Reference",
    "Scan",
    "ScanPlan",
    "SigmascopeError",
    "SingularValues",
    "Sketch",
    "Spectrum",
    "Trajectory",
    "aslinearoperator",
    "available_devices",
    "block",
    "compare",
    "hstack",
    "matrix",
    "merge",
    "moments",
    "multiply",
    "open_adapter",
    "open_checkpoint",
    "plan_scan",
    "randomized_svd",
    "reference",
    "scan",
    "set_num_threads",
    "show_config",
    "spectral_density",
    "spectrum",
    "svds",
    "svdvals",
    "tensor",
    "trajectory",
    "vstack",
]


def show_config() -> dict[str, Any]:
    """Return what this build and machine use: version, instruction set, BLAS, devices, threads."""
    from .threads import resolve_threads

    config = dict(_core.config())
    config["devices"] = available_devices()
    config["num_threads"] = resolve_threads(None)
    return config
