# SPDX-License-Identifier: BSD-3-Clause
"""Two models trained from one base by one recipe: whose update is more concentrated?"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.extension import student_quantile

from .calibrated_pairs import CalibratedDifference
from .calibration import EXAMPLE_ONLY
from .places import Spread, Update
from .records import save_record

ALL_SIGNS = 14
"""Most blocks for which every assignment of signs is tried."""

DRAWS = 10_000
"""Assignments of signs that are drawn for more blocks, the observed one included."""

LEAST_BLOCKS = 6
"""Fewest blocks for a p-value: with fewer, no assignment of signs is rare."""

STEPS, HALVINGS = 50, 20
"""Differences that are tried on each side of an interval, and halvings of the last step."""

MLP = "mlp"


@dataclass(frozen=True, slots=True)
class PairedDiagnosis:
    """The difference of two updates of one base.

    Attributes
    ----------
    difference : float
        Mean over matrices of ln(effective rank of the second update / effective rank of the first).
    interval : tuple of float
        Interval of the difference at 1 - alpha if blocks are independent: the differences that
        random signs of the blocks do not reject. For fewer than 6 blocks, Student's interval.
    p : float or None
        Probability of a difference at least as large under random signs of the blocks; None for
        fewer than 6 blocks. It is valid if blocks are independent, which two runs cannot show:
        chance that all blocks of a run share makes it too small.
    matrices, blocks : int
        Numbers of matrices that both updates have, and of their blocks (attention or MLP of a
        layer).
    alpha : float
    names : tuple of str
        Names of the two models.
    calibrated : CalibratedDifference or None
        The difference by the score of a calibration, if one was given.
    seeds : tuple of tuple of int
        Seeds of the rows of both comparisons.
    """

    difference: float
    interval: tuple[float, float]
    p: float | None
    matrices: int
    blocks: int
    alpha: float
    names: tuple[str, str]
    calibrated: CalibratedDifference | None = None
    seeds: tuple[tuple[int, ...], ...] = ()

    @property
    def narrower(self) -> str | None:
        """The model with the narrower data, if a calibration finds the difference significant.

        None without a calibration that applies, since only more runs show the effect of a seed.
        """
        score = self.calibrated
        if score is None or score.difference is None or score.p is None or score.p > self.alpha:
            return None
        return self.names[int(score.difference < 0)]

    @property
    def text(self) -> str:
        """The finding, in sentences."""
        return " ".join(self.reasons)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Sentences: the calibrated difference first, if there is one."""
        gap = self.calibrated
        if gap is None:
            return (self._by_blocks(),)
        reasons = self._with_calibration(gap)
        return (EXAMPLE_ONLY, *reasons) if gap.example else reasons

    def _with_calibration(self, gap: CalibratedDifference) -> tuple[str, ...]:
        if gap.p is None:
            refused = " ".join(guard.text for guard in gap.refusals)
            return (f"The calibration does not apply. {refused}", self._by_blocks())
        qualified = [guard.text for guard in gap.guards if guard.outcome == "qualified"]
        without = f"Without the calibration: {self._by_blocks()}"
        return (self._by_score(gap), gap.rates.text(), *qualified, without)

    def _by_score(self, gap: CalibratedDifference) -> str:
        assert gap.difference is not None
        assert gap.interval is not None
        assert gap.p is not None
        sign = math.copysign(1 / gap.distance, gap.difference)
        low, high = sorted(sign * x for x in gap.interval)
        evidence = (
            f"by {abs(gap.difference) / gap.distance:.2f} [{low:.2f}, {high:.2f}] of the "
            f"distance between narrow and broad runs ({_p_text(gap.p)}; two runs of one class "
            f"differ by {math.sqrt(2) * gap.deviation / gap.distance:.2f}, root mean square)"
        )
        if gap.p > self.alpha:
            return (
                f"The breadths of the data do not differ significantly: scores differ {evidence}."
            )
        name = self.names[int(gap.difference < 0)]
        return f"{name} had the narrower data, or data that was newer to the base: {evidence}."

    def _by_blocks(self) -> str:
        change = f"{100 * abs(math.expm1(-abs(self.difference))):.1f} %"
        lower, upper = sorted(100 * -math.expm1(-x) for x in self._widths())
        span = f"[{lower:.1f}, {upper:.1f}]"
        first, second = self.names
        name = second if self.difference < 0 else first
        if self.p is None:
            return (
                f"The update of {name} has the lower effective rank, by {change} {span}; "
                f"{self.blocks} blocks are too few for a p-value."
            )
        evidence = f"{self.blocks} blocks, {_p_text(self.p)} if they are independent"
        if self.p > self.alpha:
            return (
                "The updates do not differ significantly: their effective ranks differ by "
                f"{change} {span} ({evidence})."
            )
        return (
            f"The update of {name} is more concentrated, by {change} {span} ({evidence}). Either "
            "its data was narrower, or newer to the base, or its recipe differed, or its seed "
            "changed all blocks. Two runs cannot show which; the runs of a calibration show how "
            "much a seed changes."
        )

    def _widths(self) -> tuple[float, float]:
        sign = math.copysign(1.0, self.difference)
        return sign * self.interval[0], sign * self.interval[1]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result as JSON, or as a page if the path ends with .html."""
        save_record(self.to_dict(), Path(path))

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        return {
            "kind": "paired",
            "difference": self.difference,
            "interval": list(self.interval),
            "p": self.p,
            "matrices": self.matrices,
            "blocks": self.blocks,
            "alpha": self.alpha,
            "seeds": [list(seeds) for seeds in self.seeds],
            "names": list(self.names),
            "narrower": self.narrower,
            "calibrated": None if self.calibrated is None else self.calibrated.to_dict(),
            "reasons": list(self.reasons),
            "text": self.text,
        }


def paired(
    one: Update,
    two: Update,
    names: tuple[str, str],
    alpha: float,
    *,
    calibrated: CalibratedDifference | None,
) -> PairedDiagnosis:
    """Compare two updates, matrix by matrix.

    Raises
    ------
    ValueError
        If they have no matrix in common.
    """
    first = {(s.place.tower, s.layer, s.role): s for s in one.spreads}
    blocks: defaultdict[tuple[str, int, bool], list[float]] = defaultdict(list)
    for spread in two.spreads:
        key = spread.place.tower, spread.layer, spread.role
        if key in first:
            blocks[block_of(spread)].append(spread.value - first[key].value)
    if not blocks:
        raise ValueError("the two comparisons have no changed matrix in common")
    sums = np.array([sum(each) for each in blocks.values()])
    counts = np.array([len(each) for each in blocks.values()])
    matrices = int(counts.sum())
    difference = float(sums.sum() / matrices)
    if len(sums) >= LEAST_BLOCKS:
        signs = signs_of(len(sums), seed=0)
        p = _sign_flip(sums, signs)
        interval = _inverted(sums, counts, signs, alpha)
    else:
        p, interval = None, _student(sums, counts, difference, alpha)
    return PairedDiagnosis(
        difference,
        interval,
        p,
        matrices,
        len(sums),
        alpha,
        names,
        calibrated,
        (one.seeds, two.seeds),
    )


def _p_text(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def _student(
    sums: np.ndarray, counts: np.ndarray, difference: float, alpha: float
) -> tuple[float, float]:
    """Return the interval of the mean over matrices, with blocks as independent units."""
    n = len(sums)
    if n < 2:
        return -math.inf, math.inf
    residuals = sums - difference * counts  # residuals of a ratio of sums
    deviation = math.sqrt(n / (n - 1) * float(np.sum(residuals**2))) / counts.sum()
    half = student_quantile(alpha, n - 1) * deviation
    return difference - half, difference + half


def _inverted(
    sums: np.ndarray, counts: np.ndarray, signs: NDArray[np.float64], alpha: float
) -> tuple[float, float]:
    """Return the interval of the differences that random signs do not reject at alpha.

    At the distance `reach` from the mean all blocks differ in one direction, so random signs
    reject the difference.
    """
    difference = float(sums.sum() / counts.sum())
    reach = float(np.max(np.abs(sums / counts - difference))) + 1e-12

    def end(side: float) -> float:
        steps = difference + side * reach * np.linspace(0.0, 1.0, STEPS + 1)
        kept = [x for x in steps if _sign_flip(sums - x * counts, signs) > alpha]
        inside = max(kept, key=lambda x: side * x, default=difference)
        outside = inside + side * reach / STEPS
        for _ in range(HALVINGS):
            middle = 0.5 * (inside + outside)
            if _sign_flip(sums - middle * counts, signs) > alpha:
                inside = middle
            else:
                outside = middle
        return float(outside)

    return end(-1.0), end(1.0)


def _sign_flip(sums: np.ndarray, signs: NDArray[np.float64]) -> float:
    """Return the share of assignments of signs whose sum is as large as the observed one."""
    observed = abs(float(sums.sum()))
    return float(np.mean(np.abs(signs @ sums) >= observed * (1 - 1e-12)))


def block_of(spread: Spread) -> tuple[str, int, bool]:
    """Return the block of a matrix: its tower, its layer, and whether it belongs to the MLP."""
    return spread.place.tower, spread.layer, spread.place.group.startswith(MLP)


def signs_of(blocks: int, seed: int) -> NDArray[np.float64]:
    """Return all assignments of signs to the blocks, or many random ones; the first is all +1."""
    if blocks <= ALL_SIGNS:
        return np.array(list(product((1.0, -1.0), repeat=blocks)))
    drawn = np.random.default_rng(seed).choice((-1.0, 1.0), size=(DRAWS - 1, blocks))
    return np.vstack([np.ones(blocks), drawn])


def names_of(labels: Sequence[str]) -> tuple[str, str]:
    """Return two names that differ."""
    one, two = labels
    return (one, two) if one != two else (f"{one} (first)", f"{two} (second)")
