# SPDX-License-Identifier: BSD-3-Clause
"""Which SVD to choose: backends side by side on one matrix, each in processes of its own.

What is measured, and what makes it fair, is told in docs/benchmarking.md. The command line is
``sigmascope bench``.
"""

from __future__ import annotations

from .backends import BACKENDS, Backend, select
from .comparing import Plan, compare
from .growth import grow
from .results import Comparison, Growth
from .workloads import SPECTRA, Workload, given, synthetic

__all__ = [
    "BACKENDS",
    "SPECTRA",
    "Backend",
    "Comparison",
    "Growth",
    "Plan",
    "Workload",
    "compare",
    "given",
    "grow",
    "select",
    "synthetic",
]
