# SPDX-License-Identifier: BSD-3-Clause
"""The set of all weights that explain every number: an interval, or a polytope in its box.

A row says |a . c - t| <= b for the weights c: a and t are a number's changes and the middle of its
interval, both divided by half the interval. A row is dropped only if it holds on a box that
contains the set, so nothing is lost: rows that remain describe the set of all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .number_formats import Reals
from .number_rows import NULL, Ellipsoid, Indices, NumberRows
from .programs import Rows, contradiction, least_of

FRESH = 256
"""New rows after which the box is made smaller."""

TOUCHING = 1e-6
"""Part of the box within which a row that only touches it is kept."""

ROUNDS = 12
"""At most so many times the box is made smaller at once, if each time it shrinks a hundredfold."""


@dataclass
class WeightSet:
    """All weights that satisfy the rows that were added.

    Attributes
    ----------
    ellipsoid
        Contains all weights that satisfy a part of the rows.
    middle, half
        The box of all weights so far, in coordinates of the ellipsoid's axes.
    rows
        Rows that may still matter.
    empty
        True if it was proved that no weights satisfy all rows.
    witness
        Indices of numbers that contradict each other, if they are known.
    """

    ellipsoid: Ellipsoid
    middle: Reals = field(init=False)
    half: Reals = field(init=False)
    rows: NumberRows | None = None
    empty: bool = False
    witness: tuple[int, ...] = ()
    _fresh: int = 0

    def __post_init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._start_box()
        self.empty = self.ellipsoid.radius < 0

    def _start_box(self) -> None:
        k = self.ellipsoid.axes.shape[1]
        self.middle, self.half = np.zeros(k), np.full(k, self.ellipsoid.radius * (1 + 1e-9))

    def add(self, rows: NumberRows) -> None:
        """Add rows: those that hold on the whole box are dropped."""
        if self.empty:
            return
        if rows.impossible.size:
            self.empty, self.witness = True, (int(rows.impossible[0]),)
            return
        if len(self.ellipsoid.null) and (seen := self._seen_in_null(rows)).size:
            self._start_again(rows.chosen(seen))
        self._keep(rows)
        if self._fresh > FRESH:
            self.tighten()

    def _seen_in_null(self, rows: NumberRows) -> Indices:
        """Return the rows that tell weights apart in a direction that was a null direction."""
        null = self.ellipsoid.null
        part = np.abs(null @ rows.a) > NULL * (np.abs(null) @ np.abs(rows.a))
        return np.flatnonzero(part.any(axis=0))

    def _start_again(self, rows: NumberRows) -> None:
        """Take an ellipsoid that these rows bound, too. Rows that were dropped still hold."""
        kept = self.rows
        known = self.ellipsoid.rows if kept is None else self.ellipsoid.rows.joined(kept)
        ellipsoid = Ellipsoid.of(known.joined(rows))
        assert ellipsoid is not None
        self.ellipsoid, self.rows = ellipsoid, None
        self._start()
        if kept is not None:
            self._keep(kept)

    def _keep(self, rows: NumberRows) -> None:
        a, t = self._in_axes(rows)
        with np.errstate(invalid="ignore"):
            reach = self.half @ np.abs(a)
            # Rows that touch the box stay: they are the reason for its ends.
            cuts = np.abs(self.middle @ a - t) + reach > rows.b - TOUCHING * reach
        cutting = rows.chosen(np.flatnonzero(cuts))
        self._fresh += len(cutting.t)
        self.rows = cutting if self.rows is None else self.rows.joined(cutting)

    def _in_axes(self, rows: NumberRows) -> tuple[Reals, Reals]:
        return self.ellipsoid.axes.T @ rows.a, rows.t - self.ellipsoid.centre @ rows.a

    def by_reach(self) -> Indices:
        """Return the indices of the rows, from those that cut most of the box."""
        assert self.rows is not None
        a, t = self._in_axes(self.rows)
        reach = np.abs(self.middle @ a - t) + self.half @ np.abs(a)
        return np.argsort(-reach / self.rows.b, kind="stable")

    def tighten(self) -> None:
        """Make the box that of all rows, and drop the rows that then hold on it."""
        self._fresh = 0
        for _ in range(ROUNDS):
            if self.empty or self.rows is None or not len(self.rows.t):
                return
            scaled = self._scaled()
            if len(self.half) == 1:
                low, high, binding = _interval(scaled)
                if low > high + 1e-12:
                    self._refute(tuple(sorted({int(scaled.places[i]) for i in binding})))
                    return
            else:
                low, high = self._by_programs(scaled)
            if self.empty:
                return
            low, high = np.maximum(low, -1.0), np.minimum(high, 1.0)
            self.middle = self.middle + self.half * (low + high) / 2
            self.half = self.half * np.maximum((high - low) / 2, 1e-300)
            rows, self.rows = self.rows, None
            self._keep(rows)
            self._fresh = 0
            if ((high - low) / 2).max() > 0.01:  # otherwise rows and box had very unlike scales
                return

    def _refute(self, places: tuple[int, ...]) -> None:
        """Note that nothing fits, and name rows that contradict each other without the box."""
        self.empty, self.witness = True, places
        if len(self.half) == 1:
            return
        for size in (1000.0, 1.0):  # the sums of squares alone need not be a part of the proof
            self._start_box()
            self.half = self.half * size
            self.witness = contradiction(self._scaled())
            if self.witness:
                return

    def _scaled(self) -> Rows:
        assert self.rows is not None
        a, t = self._in_axes(self.rows)
        z = a * self.half[:, None]
        size = np.abs(z).sum(axis=0)
        size[size == 0] = 1e-300
        off = self.middle @ a - t
        g = np.concatenate([(self.rows.b - off) / size, (self.rows.b + off) / size])
        rows = np.hstack([z / size, -z / size]).T
        near = g < 1
        places = np.tile(self.rows.places, 2)
        return Rows(rows[near], g[near], places[near])

    def _by_programs(self, rows: Rows) -> tuple[Reals, Reals]:
        k = len(self.half)
        if rows.g.size and rows.g.min() < -1 - 1e-9:
            self._refute(contradiction(rows))
            return np.zeros(k), np.zeros(k)
        working = np.argsort(rows.g)[: 60 * k]
        low, high = -np.ones(k), np.ones(k)
        while True:
            some = Rows(rows.a[working], rows.g[working], rows.places[working])
            missing: set[int] = set()
            for i in range(k):
                for sign in (1.0, -1.0):
                    direction = np.zeros(k)
                    direction[i] = sign
                    bound, z = least_of(direction, some)
                    if z is None:
                        places = contradiction(some)
                        if places:
                            self._refute(places)
                            return low, high
                        continue
                    if sign > 0:
                        low[i] = max(low[i], bound)
                    else:
                        high[i] = min(high[i], -bound)
                    excess = rows.a @ z - rows.g
                    worst = np.argsort(excess)[-8:]
                    missing |= {int(j) for j in worst if excess[j] > 1e-8}
            more = np.setdiff1d(np.array(sorted(missing), dtype=np.intp), working)
            if not len(more):
                break
            working = np.append(working, more)
        if (low > high).any():
            if (low > high + 1e-8).any():
                self._refute(())
            middle = (low + high) / 2
            low, high = np.minimum(low, middle), np.maximum(high, middle)
        return low, high

    def box(self) -> Reals | None:
        """Return the interval of each weight, of shape (p, 2); None if no weights fit.

        A weight with a part in a null direction has the interval (-inf, inf).
        """
        self.tighten()
        if self.empty:
            return None
        axes = self.ellipsoid.axes
        centre = self.ellipsoid.centre + axes @ self.middle
        spread = axes * self.half
        if len(self.half) == 1 or self.rows is None or not len(self.rows.t):
            reach = np.abs(spread).sum(axis=1)
            box = np.stack([centre - reach, centre + reach], axis=1)
        else:
            rows = self._scaled()
            box = np.empty((len(centre), 2))
            for i, direction in enumerate(spread):
                size = float(np.abs(direction).sum()) or 1e-300
                box[i, 0] = centre[i] + size * least_of(direction / size, rows)[0]
                box[i, 1] = centre[i] - size * least_of(-direction / size, rows)[0]
        for direction in self.ellipsoid.null:
            box[np.abs(direction) > 1e-9 * np.abs(direction).max()] = -np.inf, np.inf
        # Least squares centre and axes were rounded: a few units of float64 of all that was added.
        slack = 1e-14 * (np.abs(self.ellipsoid.centre) + np.abs(box).max(axis=1, initial=0.0))
        return np.asarray(np.stack([box[:, 0] - slack, box[:, 1] + slack], axis=1))


def _interval(rows: Rows) -> tuple[Reals, Reals, list[int]]:
    """Return the interval of the single unknown, and the rows that bind: rows have a = 1 or -1."""
    ends = []
    binding = []
    for sign in (-1.0, 1.0):
        indices = np.flatnonzero(rows.a[:, 0] * sign > 0)
        g = rows.g[indices]
        first = int(np.argmin(g)) if len(g) else -1
        ends.append(sign * min(1.0, float(g[first]) if len(g) else 1.0))
        binding += [int(indices[first])] if len(g) else []
    return np.array([ends[0]]), np.array([ends[1]]), binding


def witness_of(rows: NumberRows) -> tuple[int, ...]:
    """Return places of a few rows that contradict each other; nothing if none were found."""
    if rows.impossible.size:
        return (int(rows.impossible[0]),)
    ellipsoid = Ellipsoid.of(rows)
    if ellipsoid is None:
        return ()
    if len(rows.a) == 1:
        return _contradicting_pair(rows)
    # Rows far from the least squares weights, in a box that is large enough for all of them.
    axes = ellipsoid.axes
    excess = np.abs(ellipsoid.centre @ rows.a - rows.t) / rows.b
    worst = rows.chosen(np.argsort(excess)[-WORST:])
    a, t = axes.T @ worst.a, worst.t - ellipsoid.centre @ worst.a
    size = np.abs(a).sum(axis=0)
    half = 10 * float((np.abs(t) / size).max())
    scaled = np.hstack([a / size, -a / size]).T
    g = np.concatenate([(worst.b + t) / size, (worst.b - t) / size]) / half
    return contradiction(Rows(scaled, g, np.tile(worst.places, 2)))


def _contradicting_pair(rows: NumberRows) -> tuple[int, ...]:
    """Return the numbers with the largest lower and the least upper end."""
    live = np.flatnonzero(rows.a[0])
    a, t, b = rows.a[0][live], rows.t[live], rows.b[live]
    low, high = (t - np.sign(a) * b) / a, (t + np.sign(a) * b) / a
    first, last = int(np.argmax(low)), int(np.argmin(high))
    if low[first] <= high[last]:
        return ()
    return tuple(sorted({int(rows.places[live[first]]), int(rows.places[live[last]])}))


WORST = 200
"""Numbers among which a contradiction is sought."""
