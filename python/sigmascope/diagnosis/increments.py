# SPDX-License-Identifier: BSD-3-Clause
"""The increments of one training run: did their spread change, and where?"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count as count_from
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.extension import public
from sigmascope.extension.tables import Source, read_source

from .paired import DRAWS, LEAST_BLOCKS, block_of, signs_of
from .places import Update, update_of
from .records import save_record

Array = NDArray[np.float64]

WARM_UP = 0.25
"""Share of the first increments that is left out, since a run begins with coherent steps."""

LEAST_INCREMENTS = 4
"""Fewest increments that must remain."""

ALL_ORDERS = 8
"""Most increments for which every order is tried; for more, `DRAWS` orders are drawn."""

_PART = 1 << 20
"""Numbers of the orders that are held at a time."""


@dataclass(frozen=True, slots=True)
class RunDiagnosis:
    """The spread of each increment of a run, and the split with the largest difference.

    Attributes
    ----------
    names : tuple of str
        Names of the increments, in order.
    spreads : tuple of float
        Mean over matrices of ln(effective rank / min(m, n)), for each increment.
    left_out : int
        Increments at the beginning that the test leaves out.
    split : int
        Number of the first increment after the split where the spread differs most.
    before, after : float
        Mean spread of the increments before and after the split.
    p : float or None
        Probability of a split at least as clear, over all splits. It is the larger of two: with the
        increments in any order, and with any signs of the blocks. None for fewer than 6 blocks.
    least_p : float
        Least p that this number of increments and blocks allows.
    matrices, blocks : int
        Numbers of matrices that every increment has, and of their blocks (attention or MLP of a
        layer).
    alpha : float
    seeds : tuple of tuple of int
        Seeds of the rows of each comparison.
    """

    names: tuple[str, ...]
    spreads: tuple[float, ...]
    left_out: int
    split: int
    before: float
    after: float
    p: float | None
    least_p: float
    matrices: int
    blocks: int
    alpha: float
    seeds: tuple[tuple[int, ...], ...] = ()

    @property
    def changed(self) -> bool:
        """True if the split is significant."""
        return self.p is not None and self.p <= self.alpha

    @property
    def text(self) -> str:
        """The finding in a sentence."""
        ranks = (
            f"{100 * math.exp(self.before):.1f} % of the full rank before and "
            f"{100 * math.exp(self.after):.1f} % from there on"
        )
        if self.p is None:
            return f"{self.blocks} blocks are too few to tell whether the spread changed: {ranks}."
        count = len(self.names) - self.left_out
        evidence = f"p = {self.p:.2g} over all splits, {count} increments, {self.blocks} blocks"
        if not self.changed:
            few = (
                f" With {count} increments and {self.blocks} blocks the smallest possible p is "
                f"{self.least_p:.2g}: no change could be significant at {self.alpha:g}."
                if self.least_p > self.alpha
                else ""
            )
            return (
                "There is no significant change of the spread. The clearest change is at "
                f"{self.names[self.split]}: {ranks} ({evidence}).{few}"
            )
        word = "fewer" if self.after < self.before else "more"
        return (
            f"From {self.names[self.split]} on, each increment is spread over {word} directions: "
            f"{ranks} ({evidence}). The data or the learning rate changed, or the run drifts. "
            "The p-value holds if, without a change, any order of the increments is equally "
            "likely. It is too small if all blocks drift, or if chance carries over from one "
            "increment to the next in all blocks."
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result as JSON, or as a page if the path ends with .html."""
        save_record(self.to_dict(), Path(path))

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        return {
            "kind": "increments",
            "names": list(self.names),
            "spreads": list(self.spreads),
            "left_out": self.left_out,
            "split": self.split,
            "before": self.before,
            "after": self.after,
            "p": self.p,
            "least_p": self.least_p,
            "matrices": self.matrices,
            "blocks": self.blocks,
            "alpha": self.alpha,
            "seeds": [list(seeds) for seeds in self.seeds],
            "changed": self.changed,
            "text": self.text,
        }


@public
def diagnose_increments(
    comparisons: Sequence[Source], *, names: Sequence[str] | None = None, alpha: float = 0.05
) -> RunDiagnosis:
    """Test whether the increments of one run changed their spread, and find where.

    Parameters
    ----------
    comparisons : sequence of Comparison or path
        Comparisons of each checkpoint of a run with the next one, in order.
    names : sequence of str, optional
        Names of the increments. Default: the names of the comparisons.
    alpha : float
        Level, 0 < alpha < 1/2.

    Returns
    -------
    RunDiagnosis

    Raises
    ------
    ValueError
        If there are too few increments, they have no matrix in common, or alpha is out of range.
    TypeError, CheckpointError, OSError
        As for reading a comparison.

    See Also
    --------
    diagnose : One comparison.

    Notes
    -----
    The first quarter of the increments is left out. A split divides the n others into s earlier and
    n - s later ones. Its statistic is the difference of both means, summed over all matrices and
    multiplied by sqrt(s (n - s) / n), which makes splits comparable (Hawkins 1977). The largest
    statistic is compared with the largest under two kinds of chance, so both p-values account for
    the choice of the split (Westfall & Young 1993); `p` is the larger one (Berger 1982):

    - the increments in any order, which allows for chance that all matrices of an increment share;
    - random signs of the blocks (attention or MLP of a layer), the same sign for all splits of a
      block, which allows for chance that a block carries from one increment to the next.

    The test cannot distinguish a change from chance that all blocks share and carry over, or from a
    schedule of the learning rate; docs/probabilities.md has the rates. The least p of n increments
    is 2 / C(n, n // 2). A level of 5 % therefore needs 8 increments after the first quarter, or 10
    in all.

    Examples
    --------
    >>> diagnose_increments(["0-1000.jsonl", "1000-2000.jsonl", ...]).text   # doctest: +SKIP
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha = {alpha} is not between 0 and 0.5")
    read = [read_source(source, {}, number) for number, source in enumerate(comparisons, 1)]
    if names is None:
        names = [Path(source.label).stem or source.label for source in read]
    if len(names) != len(read):
        raise ValueError(f"{len(names)} names for {len(read)} increments")
    return increments([update_of(source.rows) for source in read], tuple(names), alpha)


def increments(updates: Sequence[Update], names: tuple[str, ...], alpha: float) -> RunDiagnosis:
    """Find the split of an ordered series of updates where their spread differs most."""
    first = int(WARM_UP * len(updates))
    if len(updates) - first < LEAST_INCREMENTS:
        least = next(n for n in count_from(1) if n - int(WARM_UP * n) >= LEAST_INCREMENTS)
        raise ValueError(
            f"{len(updates)} increments are too few: at least {least} are needed to detect a change"
        )
    tables = [
        {(s.place.tower, s.layer, s.role): s for s in update.spreads} for update in updates[first:]
    ]
    shared = [key for key in tables[0] if all(key in table for table in tables)]
    if not shared:
        raise ValueError("the increments have no changed matrix in common")
    by_block: defaultdict[tuple[str, int, bool], list[Array]] = defaultdict(list)
    for key in shared:
        series = np.array([table[key].value for table in tables])
        by_block[block_of(tables[0][key])].append(series)
    sums = np.array([np.sum(each, axis=0) for each in by_block.values()])  # blocks x increments
    split, p = clearest_split(sums, seed=0)
    means = sums.sum(axis=0) / len(shared)
    count = len(tables)
    return RunDiagnosis(
        names,
        tuple(float(np.mean([s.value for s in update.spreads])) for update in updates),
        first,
        first + split,
        float(means[:split].mean()),
        float(means[split:].mean()),
        p if len(sums) >= LEAST_BLOCKS else None,
        max(2 / math.comb(count, count // 2), 2.0 ** (1 - len(sums)), 1 / DRAWS),
        len(shared),
        len(sums),
        alpha,
        tuple(update.seeds for update in updates),
    )


def clearest_split(sums: Array, seed: int) -> tuple[int, float]:
    """Return the clearest split of the series (blocks, n), and its p-value."""
    by_split = _weighted(sums)  # blocks x splits
    clear = np.abs(by_split.sum(axis=0))
    best = int(np.argmax(clear))
    largest = np.abs(signs_of(len(sums), seed) @ by_split).max(axis=1)
    of_signs = float(np.mean(largest >= clear[best] * (1 - 1e-12)))
    return best + 1, max(of_signs, _any_order(sums.sum(axis=0), seed))


def _any_order(series: Array, seed: int) -> float:
    """Return the share of orders of a series (n,) with a split as clear as the given one."""
    count = len(series)
    observed = float(_clearest(series[None])[0]) * (1 - 1e-9)
    if count <= ALL_ORDERS:
        orders = np.array(list(permutations(range(count))))
        return float(np.mean(_clearest(series[orders]) >= observed))
    rng = np.random.default_rng(seed)
    as_clear, left = 1, DRAWS - 1
    while left:
        part = min(left, max(1, _PART // count))
        drawn = rng.permuted(np.broadcast_to(series, (part, count)), axis=1)
        as_clear += int(np.sum(_clearest(drawn) >= observed))
        left -= part
    return as_clear / DRAWS


def _clearest(series: Array) -> Array:
    """Return the largest weighted difference of means over all splits of each series (..., n)."""
    return np.asarray(np.abs(_weighted(series)).max(axis=-1))


def _weighted(series: Array) -> Array:
    """Return sqrt(s (n - s) / n) times the difference of means at each split s of series (..., n).

    The sum of the first s minus s times the mean of all is s (n - s) / n times that difference.
    """
    count = series.shape[-1]
    before = np.arange(1, count)
    sums = np.cumsum(series - series.mean(axis=-1, keepdims=True), axis=-1)[..., :-1]
    return np.asarray(sums / np.sqrt(before * (count - before) / count))
