# SPDX-License-Identifier: BSD-3-Clause
"""Outcome of one call, and its failures."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from sigmascope.errors import ConvergenceWarning

Refusal = tuple[type[Exception], str]
"""A class of errors, and what their message says."""

ORTHOGONAL = {"float64": 1e-12, "float32": 1e-5}
"""Largest allowed |U^T U - I|, by the dtype of U."""
FLOOR = {"float64": 192 * 2.0**-53, "float32": 96 * 2.0**-24}
"""Amount that rounding may add to a tolerance, in units of sigma_1."""


SEVERITY = (
    "exception",
    "not finite",
    "malformed",
    "outside bound",
    "measure",
    "moments",
    "norm",
    "values beyond the norm",
    "not orthonormal",
    "residual",
    "converged above tolerance",
    "other bits",
    "work",
    "warning",
    "residual, by rounding",
)
"""Kinds of failures, the worst first."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong; ``ratio`` says by how much, 1 is just right."""

    what: str
    ratio: float
    detail: str


@dataclass
class Outcome:
    findings: list[Finding] = field(default_factory=list)
    converged: bool | None = None
    z: dict[str, float] = field(default_factory=dict)
    """For each measure |value - truth| in units of its error."""
    seconds: float = 0.0
    work: float | None = None
    """Processor time in units of that of the full decomposition."""
    refused: str = ""
    """The documented error that it ended with."""

    @property
    def main(self) -> Finding:
        """Return the worst failure."""
        return min(self.findings, key=lambda f: (SEVERITY.index(f.what), -f.ratio))

    def wrong(self, what: str, ratio: float, detail: str) -> None:
        self.findings.append(Finding(what, float(min(ratio, 1e300)), detail))

    def require(self, what: str, value: Any, most: Any, detail: str = "") -> None:
        """Every value is finite and at most its bound."""
        value, most = np.broadcast_arrays(np.asarray(value, float), np.asarray(most, float))
        if value.size == 0:
            return
        with np.errstate(all="ignore"):
            ratio = np.where(value <= most, 0.0, np.abs(value) / np.maximum(most, 1e-300))
        ratio = np.where(np.isfinite(value) & np.isfinite(most), ratio, np.inf)
        worst = int(np.argmax(ratio))
        if ratio.flat[worst] > 0:
            shown = f"{value.flat[worst]:.3g} > {most.flat[worst]:.3g}, {worst} of {value.size}"
            self.wrong(what, float(ratio.flat[worst]), f"{shown} {detail}".strip())

    def record(self) -> dict[str, Any]:
        return asdict(self)


def call(
    outcome: Outcome, function: Callable[[], Any], allowed: Iterable[Refusal] = ()
) -> Any | None:
    """Call it: its answer, or None after an error. Errors that are not `allowed` are findings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        started = time.process_time()
        try:
            result = function()
        except Exception as error:
            for kind, text in allowed:
                if isinstance(error, kind) and text in str(error):
                    outcome.refused = type(error).__name__
                    return None
            outcome.wrong("exception", np.inf, f"{type(error).__name__}: {str(error)[:200]}")
            return None
        finally:
            outcome.seconds = time.process_time() - started
    warned = [w for w in seen if issubclass(w.category, ConvergenceWarning)]
    others = [w for w in seen if w not in warned]
    if others:
        where = f"{others[0].filename.rpartition('/')[2]}:{others[0].lineno}"
        text = f"{others[0].category.__name__}: {str(others[0].message)[:120]} ({where})"
        outcome.wrong("warning", 1.0, text)
    outcome.z["warned of convergence"] = float(bool(warned))
    return result
