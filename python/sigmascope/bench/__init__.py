# SPDX-License-Identifier: BSD-3-Clause
"""Benchmarks of SVD backends on one matrix, each backend in its own processes.

docs/benchmarking.md describes the measurements and the conditions that make them fair. The command
is ``sigmascope bench``.
"""

from __future__ import annotations

from .backend import Backend
from .backends import BACKENDS, known_backends, select
from .comparing import BenchmarkPlan, compare
from .growth import grow
from .journal import ProcessJournal
from .results import BackendComparison, Growth
from .solvers import Answer, Source
from .workloads import SPECTRA, Workload, given, synthetic

__all__ = [
    "BACKENDS",
    "SPECTRA",
    "Answer",
    "Backend",
    "BackendComparison",
    "BenchmarkPlan",
    "Growth",
    "ProcessJournal",
    "Source",
    "Workload",
    "compare",
    "given",
    "grow",
    "known_backends",
    "select",
    "synthetic",
]
