# SPDX-License-Identifier: BSD-3-Clause
"""Sums over the entries of a pair of matrices, computed directly or from a change's triplets."""

from __future__ import annotations

from typing import NamedTuple

from sigmascope.solvers.change import Change
from sigmascope.spectra import SVD
from sigmascope.spectra.statistics.quantisation import Profile
from sigmascope.spectra.units import exponent_of, scaled


class PairNorms(NamedTuple):
    """Sums over the entries of a pair, of W before, W' after and dW = W' - W.

    Attributes
    ----------
    change
        ||W||^2, ||dW||^2 and <dW, W>, in units of 4^unit, 4^delta_unit and 4^unit.
    after2
        ||W'||^2, in units of 4^unit.
    floor
        Expected ||dW|| if rounding made all of dW, in units of 2^unit, or None; see
        :mod:`sigmascope.spectra.statistics.pairs`.
    floor_rank
        Effective rank of such a dW. None for an adapter, where rounding errors have the low rank of
        the change.
    passes
        Passes over each matrix.
    unit, delta_unit
        Binary exponents of the units above.
    fingerprint
        Hash of the numbers of both. It determines the random numbers of all their spectra.
    unchanged
        Share of the entries that hardly changed (:data:`sigmascope.solvers.change.UNCHANGED`), or
        None where no two entries are stored.
    profile
        Profile of the quantised matrix's error, if exactly one of both is quantised; else None.
    """

    change: Change
    after2: float
    floor: float | None
    floor_rank: float | None = None
    passes: int = 2
    unit: int = 0
    delta_unit: int = 0
    fingerprint: int | None = None
    unchanged: float | None = None
    profile: Profile | None = None


def norms_from_svd(
    norm: float, unit: int, svd: SVD, product: float, error: float, floor: float | None
) -> PairNorms:
    """Return the sums of W and W + dW.

    Parameters
    ----------
    norm
        ||W||_F.
    unit
        Binary exponent of the unit of W.
    svd
        The singular triplets of dW.
    product
        <dW, W>, in units of 4^unit.
    error
        Rounding error of the triplets, relative to ||dW||_F.
    floor
        Expected ||dW||_F if rounding made all of dW, or None.
    """
    before2, delta_unit = scaled(norm, -unit) ** 2, exponent_of(svd.fro_norm)
    change2 = scaled(svd.fro_norm, -delta_unit) ** 2
    after2 = before2 + 2 * product + scaled(change2, 2 * (delta_unit - unit))
    floor = None if floor is None else scaled(floor, -unit)
    change = Change(before2, change2, product, error)
    return PairNorms(change, after2, floor, unit=unit, delta_unit=delta_unit)


def relative_error(svd: SVD) -> float:
    """Bound the rounding error of a product's decomposition in float64, relative to its norm."""
    return float(svd.errors[0]) / svd.fro_norm if svd.fro_norm > 0 else 0.0
