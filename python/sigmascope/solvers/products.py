# SPDX-License-Identifier: BSD-3-Clause
"""Evidence of triplets of a matrix that is known by its products."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sigmascope._execution.options import CallOptions
from sigmascope.spectra import SVD


def with_evidence(found: SVD, call: CallOptions) -> SVD:
    """Return triplets with the errors of the products, and with what is not known of the matrix.

    Those of a stored matrix are returned as they are.
    """
    if call.operator is None:
        return found
    known = call.operator.evidence
    largest = float(found.s.max(initial=0.0))
    error = float(np.ldexp(known.absolute_error, known.exponent)) + known.relative_error * largest
    return replace(
        found,
        residuals=found.residuals + error,
        errors=found.errors + error,
        fro_norm=found.fro_norm if known.exact else float("nan"),
        notes=(*found.notes, *known.notes),
    )
