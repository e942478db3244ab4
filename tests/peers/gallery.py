# SPDX-License-Identifier: BSD-3-Clause
"""The gallery: every real matrix of Higham's Test Matrix Toolbox and of MATLAB's `gallery`.

By name, each a function of the order n; `truth` gives one as numbers of float32 or float64, with
its singular values.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from . import drawn, formulas, structured
from .checks import Truth

Array = NDArray[np.float64]

_FORMULAS = (
    "binomial cauchy chebspec chebspec_nonsingular chebvand fiedler frank gallery_3 gallery_5 "
    "gcdmat hilb invhilb invol ipjfact ipjfact_inverse_entries kms lauchli lehmer lotkin magic "
    "magic_of_doubly_even_order minij moler parter pascal pascal_lower pei prolate redheff riemann "
    "ris rosser sampling vander wilk_3 wilk_4 wilk_5 wilson"
)
_STRUCTURED = (
    "chow circul clement clement_symmetric compan condex_1 condex_2 condex_3 condex_4 dorr "
    "dramadah_1 dramadah_2 dramadah_3 forsythe gearmat gfpp grcar hadamard hadamard_block hankel "
    "hanowa invhess jordbloc kahan leslie lesp neumann poisson smoke toeppen tridiag triw wilkinson"
)
_DRAWN = (
    "augment compar cycol elastic_rod house integerdata krylov makejcf normaldata qmult randcolu "
    "randcorr randhess randjorth rando randsvd_of_rank rschur toeppd uniformdata wathen"
)

GALLERY: dict[str, Callable[[int], Array]] = (
    {name: getattr(formulas, name) for name in _FORMULAS.split()}
    | {name: getattr(structured, name) for name in _STRUCTURED.split()}
    | {name: getattr(drawn, name) for name in _DRAWN.split()}
    | {f"orthog_{kind}": drawn.orthog(kind) for kind in (1, 2, 4, 5, 6, -1, -2)}
    | {f"randsvd_{mode}": drawn.randsvd(mode) for mode in (1, 2, 3, 4, 5)}
)

AT_MOST = {
    "binomial": 60,
    "compan": 16,
    "gallery_3": 3,
    "gallery_5": 5,
    "condex_1": 4,
    "condex_2": 3,
    "invhilb": 12,
    "invol": 14,
    "ipjfact": 14,
    "ipjfact_inverse_entries": 14,
    "krylov": 24,
    "pascal": 40,
    "pascal_lower": 60,
    "rosser": 8,
    "wilk_3": 3,
    "wilk_4": 4,
    "wilk_5": 5,
    "wilson": 4,
}
"""Orders above which float32 does not hold the entries, or there are no others."""


@cache
def truth(name: str, n: int, dtype: str) -> Truth:
    """The matrix of that name, of order n or a little less, as numbers of that dtype."""
    A = GALLERY[name](min(n, AT_MOST.get(name, n))).astype(dtype)
    A.flags.writeable = False
    return Truth.of(A)
