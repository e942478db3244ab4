# SPDX-License-Identifier: BSD-3-Clause
"""Names of the measures that a scan may give, and of those that the glossary explains."""

from __future__ import annotations

from sigmascope._display import glossary
from sigmascope.analysis.requested import REQUESTED
from sigmascope.scanning.rows import MEASURES


def of_scans() -> set[str]:
    """Measures of a spectrum, with those that are given on request alone."""
    return {*MEASURES, *REQUESTED}


def explained() -> set[str]:
    """Measures with an entry in the glossary."""
    return {*glossary.MEASURES}
