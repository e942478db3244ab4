# SPDX-License-Identifier: BSD-3-Clause
"""Spectra of huge sharded matrices, each number with its error.

Arrays, files and checkpoints become lazy matrices (:func:`matrix`, :func:`block`,
:func:`open_checkpoint`); :func:`svds`, :func:`svdvals`, :func:`spectral_density`,
:func:`spectrum`, :func:`scan` and :func:`compare` read them panel by panel.
"""

from __future__ import annotations

from typing import Any

from sigmascope._host.interrupts import end_at_once

end_at_once()

from sigmascope._execution.build import available_devices, cuda_config
from sigmascope._host.keywords import public
from sigmascope._host.native import _core
from sigmascope._host.threads import set_num_threads
from sigmascope.adapters import Adapter, open_adapter
from sigmascope.adapters.resizing import Resized, resize
from sigmascope.analysis.approximation import LowRankApproximation, low_rank
from sigmascope.analysis.low_rank import LowRank
from sigmascope.analysis.spectrum import spectrum
from sigmascope.checkpoint import Checkpoint, open_checkpoint
from sigmascope.comparing import Comparison, ComparisonPlan, compare, plan_compare
from sigmascope.comparing.extracting import Extraction, extract
from sigmascope.comparing.shared_directions import SharedDirection, shared_directions
from sigmascope.diagnosing import (
    Calibration,
    Diagnosis,
    PairedDiagnosis,
    RunDiagnosis,
    diagnose,
    diagnose_increments,
)
from sigmascope.errors import (
    CheckpointError,
    ConvergenceWarning,
    DeviceError,
    DeviceMemoryError,
    FailedMatrixWarning,
    MemoryLimitError,
    NonFiniteError,
    SigmascopeError,
)
from sigmascope.matrices.joins import block, hstack, vstack
from sigmascope.matrices.matrix import Matrix, multiply
from sigmascope.matrices.scipy_operator import aslinearoperator
from sigmascope.matrices.sources import matrix, tensor
from sigmascope.scanning import Scan, ScanPlan, plan_scan, scan
from sigmascope.series import Monitor, Reference, Trajectory, merge, reference, trajectory
from sigmascope.solvers.density import spectral_density
from sigmascope.solvers.moments import moments
from sigmascope.solvers.randomized import randomized_svd
from sigmascope.solvers.svds import svds
from sigmascope.solvers.svdvals import svdvals
from sigmascope.spectra import (
    SVD,
    Density,
    Measure,
    Moments,
    SingularValues,
    SingularValuesStack,
    Spectrum,
    Stack,
    SVDStack,
)
from sigmascope.streaming import (
    GramAccumulator,
    LinearSketch,
    MomentsAccumulator,
    PrincipalComponents,
    Sketch,
)

__version__: str = _core.config()["version"]

__all__ = [
    "SVD",
    "Adapter",
    "Calibration",
    "Checkpoint",
    "CheckpointError",
    "Comparison",
    "ComparisonPlan",
    "ConvergenceWarning",
    "Density",
    "DeviceError",
    "DeviceMemoryError",
    "Diagnosis",
    "Extraction",
    "FailedMatrixWarning",
    "GramAccumulator",
    "LinearSketch",
    "LowRank",
    "LowRankApproximation",
    "Matrix",
    "Measure",
    "MemoryLimitError",
    "Moments",
    "MomentsAccumulator",
    "Monitor",
    "NonFiniteError",
    "PairedDiagnosis",
    "PrincipalComponents",
    "Reference",
    "Resized",
    "RunDiagnosis",
    "SVDStack",
    "Scan",
    "ScanPlan",
    "SharedDirection",
    "SigmascopeError",
    "SingularValues",
    "SingularValuesStack",
    "Sketch",
    "Spectrum",
    "Stack",
    "Trajectory",
    "aslinearoperator",
    "available_devices",
    "block",
    "compare",
    "diagnose",
    "diagnose_increments",
    "extract",
    "hstack",
    "low_rank",
    "matrix",
    "merge",
    "moments",
    "multiply",
    "open_adapter",
    "open_checkpoint",
    "plan_compare",
    "plan_scan",
    "randomized_svd",
    "reference",
    "resize",
    "scan",
    "set_num_threads",
    "shared_directions",
    "show_config",
    "spectral_density",
    "spectrum",
    "svds",
    "svdvals",
    "tensor",
    "trajectory",
    "vstack",
]


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
