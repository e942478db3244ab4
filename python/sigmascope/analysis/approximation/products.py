# SPDX-License-Identifier: BSD-3-Clause
"""The truncation of a product of thin matrices, which is exact."""

from __future__ import annotations

import numpy as np

from sigmascope.analysis.low_rank import LowRank
from sigmascope.spectra import Measure

from .criteria import Criterion
from .projection import Projection
from .search import Found, certain_rank


def find_in_product(product: LowRank, criterion: Criterion) -> Found:
    """Find the rank of a criterion, and all triplets of a product from its r x r core.

    Raises
    ------
    ValueError
        If the criterion is the noise edge: a product has no bulk of noise.
    NonFiniteError
        If a factor contains NaN or infinity.
    """
    if criterion.edge:
        raise ValueError(
            f"a product of rank {product.rank} has no noise edge: give a rank, energy or error"
        )
    svd = product.svd()
    assert svd.U is not None
    assert svd.Vt is not None
    rounding = float(np.linalg.norm(svd.residuals)) + float(svd.errors.max(initial=0.0))
    projection = Projection(
        U=np.asarray(svd.U),
        s=svd.s,
        Vt=np.asarray(svd.Vt),
        errors=svd.errors,
        rest=Measure(0.0, rounding, "exact"),
        norm=svd.fro_norm,
        residual=0.0,
        defect=rounding,
        passes=1,
        unit=0,
        complete=True,
    )
    most = len(svd.s)
    if criterion.rank is not None:
        return Found(min(criterion.rank, most), svd, projection, 1)
    rank = certain_rank(projection, criterion)
    return Found(most if rank is None else rank, svd, projection, 1)
