# SPDX-License-Identifier: BSD-3-Clause
"""Estimates of weights by least squares, where the cells of stored numbers are not known.

Scales that were searched for, and errors that one number hands to the next (GPTQ), leave no cell.
The error of a decoded number is then unknown, but quantisers treat rows one by one, so that errors
of different rows are taken as independent. An estimate decides no claim.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sigmascope.extension import student_quantile

from .number_formats import Reals
from .sources import MatrixSource

FEWEST = 16
"""Least number of rows, beside those that the weights take, for an interval."""

CONFIDENCE = 0.95

RUN = 32
"""Numbers in a row of which the largest are left out: groups of codes are as long, or longer."""

BIAS = 2.0
"""Largest bias of a weight in the cases that were measured, as a multiple of |1 - gain|."""

GAINS = 0.75, 1.25
"""Weights of the base between which it is that of a quantiser, rather than that of a merger."""


class Estimate(NamedTuple):
    """Weights of least squares.

    Attributes
    ----------
    weights
        The weight of each donor.
    intervals
        The interval of each, which covers the true weight with a probability of about 95 % if
        errors of different rows are independent, and none depends on the change.
    gain
        The weight of the base: 1, or less if codes keep less of a number on average.
    """

    weights: list[float]
    intervals: list[list[float]]
    gain: float


def estimate_weights(
    source: MatrixSource, *, base_in_codes: bool = False, float64: bool = False
) -> Estimate | None:
    """Estimate the weights of a merge from decoded numbers.

    A quantiser that cuts off large numbers, or whose scales minimise the error, stores g x + e for
    a number x, with g below 1 and an error e that does not correlate with x (Bussgang, 1952; for
    numbers of a normal distribution, g is the mean slope of the steps). So the decoded numbers are
    fitted by base and changes, a W + sum of b_i D_i, and the weights are b_i / a. What is cut off
    are the largest numbers of a group, whose distribution is seldom normal, so each number counts
    with (1 - (W / M)^2)^2, where M is the largest magnitude of the base among 32 in a row.

    If the base holds the codes, its error does not depend on the change: M - W is fitted by the
    changes alone, and all numbers count alike.

    The variance is that of the jackknife over n rows: (n - 1) / n times the sum of the squared
    deviations of the weights without one row from their mean (Tukey, 1958). The interval is
    Student's, and 2 |1 - a| wider to each side, for what the gain of numbers of another
    distribution differs between base and change. This is not proved, but measured.

    Parameters
    ----------
    source
        Decoded numbers of base and merged file, and the changes.
    base_in_codes
        True if the base holds codes; then the merged file does not.
    float64
        True if the merged file is in float64.

    Returns
    -------
    Estimate or None
        None if there are too few rows, a number is not finite, donors cannot be told apart from
        each other or from the base, the gain is not that of a quantiser, or the numbers of a file
        in float64 are those of float32: they were rounded, and the errors depend on the change.
    """
    p, width = len(source.donors), source.base.shape[1]
    grams: list[Reals] = []
    crosses: list[Reals] = []
    rounded = True
    for _, block in source.blocks():
        rounded &= bool((block.merged == block.merged.astype(np.float32)).all())
        base, donors = block.base.reshape(-1, width), block.donors.reshape(p, -1, width)
        merged = block.merged.reshape(-1, width)
        terms, target = np.concatenate([donors, base[None]]), merged
        shares = np.ones_like(base)
        if base_in_codes:
            terms, target = donors, merged - base
        else:
            shares = _shares(base)
        if not (np.isfinite(target).all() and np.isfinite(terms).all()):
            return None
        grams.append(np.einsum("irc,jrc,rc->rij", terms, terms, shares, optimize=True))
        crosses.append(np.einsum("irc,rc->ri", terms, target * shares))
    if float64 and rounded:
        return None
    return _ratios(np.concatenate(grams), np.concatenate(crosses), p)


def _ratios(gram: Reals, cross: Reals, p: int) -> Estimate | None:
    """Return the weights from sums over each row; the gain is the factor of a last term, if any."""
    live = np.einsum("rii->ri", gram)[:, :p].any(axis=1)
    gram, cross = gram[live], cross[live]
    rows = len(gram)
    if rows < FEWEST + p:
        return None
    scale = np.sqrt(np.einsum("rii->i", gram))
    if not scale.all():
        return None
    gram, cross = gram / np.outer(scale, scale), cross / scale
    total, whole = gram.sum(axis=0), cross.sum(axis=0)
    if np.linalg.cond(total) > 1e10:
        return None
    fit = np.linalg.solve(total, whole) / scale
    try:
        others = np.linalg.solve(total - gram, (whole - cross)[..., None])[..., 0] / scale
    except np.linalg.LinAlgError:  # one row alone tells donors apart
        return None
    gain, gains = (fit[p], others[:, p:]) if len(fit) > p else (np.float64(1), np.ones((rows, 1)))
    if not GAINS[0] <= gain <= GAINS[1] or (gains <= 0).any():
        return None
    weights, without = fit[:p] / gain, others[:, :p] / gains
    variance = ((without - without.mean(axis=0)) ** 2).sum(axis=0) * (rows - 1) / rows
    reach = student_quantile(1 - CONFIDENCE, rows - p) * np.sqrt(variance)
    reach = reach + BIAS * abs(1 - gain) * np.abs(weights)
    ends = np.stack([weights - reach, weights + reach], axis=1)
    return Estimate(weights.tolist(), ends.tolist(), float(gain))


def _shares(base: Reals) -> Reals:
    """Return with which weight each number counts: the largest of a run do not."""
    width = base.shape[1]
    size = np.abs(base).reshape(len(base), -1, RUN if width % RUN == 0 else width)
    largest = size.max(axis=2, keepdims=True)
    share = (1 - (size / np.where(largest > 0, largest, 1.0)) ** 2) ** 2
    return share.reshape(base.shape)
