# SPDX-License-Identifier: BSD-3-Clause
"""Criteria for the rank of an approximation: a rank, a share of the energy, an error, an edge."""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution import arguments

EDGE = "edge"


class Criterion(NamedTuple):
    """A fixed rank, the noise edge, or the largest relative error that may remain.

    Attributes
    ----------
    rank
        The requested rank; None if the other attributes decide it.
    edge
        True if the rank is the number of values clearly above the noise edge.
    relative2
        Largest ||A - L||_F^2 / ||A||_F^2; None if that is not the criterion.
    words
        The criterion as the caller wrote it: "energy = 0.9".
    """

    rank: int | None
    edge: bool
    relative2: float | None
    words: str

    @classmethod
    def of(cls, rank: Any, energy: float | None, error: float | None) -> Self:
        """Return the criterion of the arguments.

        Raises
        ------
        TypeError
            Unless exactly one of them is given.
        ValueError
            If it is out of range.
        """
        given = {"rank": rank, "energy": energy, "error": error}
        criteria = {name: value for name, value in given.items() if value is not None}
        if len(criteria) != 1:
            names = " and ".join(f"{name} = {value!r}" for name, value in criteria.items())
            raise TypeError(f"give exactly one of rank, energy and error; got {names or 'none'}")
        ((name, value),) = criteria.items()
        if name == "rank":
            if isinstance(value, str) and value != EDGE:
                raise ValueError(f"rank must be an integer or {EDGE!r}, not {value!r}")
            edge = isinstance(value, str)
            return cls(None if edge else operator.index(value), edge, None, f"rank = {value}")
        share = float(value)
        if not 0.0 < share < 1.0:
            raise ValueError(
                f"{name} = {share:g} must be between 0 and 1, both excluded: every approximation "
                "of a smaller rank has an error, and 0 has the error 1"
            )
        relative2 = 1.0 - share if name == "energy" else share * share
        return cls(None, False, relative2, f"{name} = {share:g}")

    def check(self, shape: tuple[int, int]) -> None:
        """Raise ValueError if a fixed rank is below 1 or above min(m, n)."""
        if self.rank is not None:
            arguments.check_rank(self.rank, shape)

    def check_part(self, part: str, *, weighted: bool) -> None:
        """Raise ValueError if the criterion means nothing for this part, or with a weight."""
        if part not in ("largest", "smallest"):
            raise ValueError(f"part must be 'largest' or 'smallest', not {part!r}")
        if part == "smallest" and (self.rank is None or weighted):
            raise ValueError("the smallest triplets need a rank and do not take a weight")
        if weighted and self.edge:
            raise ValueError("a weighted matrix has no noise edge: give a rank, energy or error")

    def least_rank(self, s: NDArray[np.float64], rest: float, norm: float) -> int | None:
        """Return the least number of leading values whose remainder satisfies the criterion.

        None if all values do not suffice. `rest` is the norm of the part of A outside the values s.
        `norm` is ||A||_F; all are divided by it before squares may overflow.
        """
        assert self.relative2 is not None
        norm = norm or 1.0
        left2 = np.append(np.cumsum((s[::-1] / norm) ** 2)[::-1], 0.0) + (rest / norm) ** 2
        enough = np.flatnonzero(left2 <= self.relative2)
        return int(enough[0]) if len(enough) else None

    def allows(self, remaining: float, norm: float) -> bool:
        """Return whether a remaining error certainly satisfies the criterion."""
        return self.relative2 is None or remaining <= math.sqrt(self.relative2) * norm
