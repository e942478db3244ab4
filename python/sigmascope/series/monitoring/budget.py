# SPDX-License-Identifier: BSD-3-Clause
"""The time that a monitor may take, as a share of the time since it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Clock = Callable[[], float]
"""A function that returns seconds, as :func:`time.perf_counter` does."""


class Budget:
    """The time that was spent, and the time that may be spent.

    Parameters
    ----------
    budget : str, float or None
        Share of the time: "1%" or 0.01; None for no limit.
    clock : callable

    Attributes
    ----------
    share : float or None
    """

    def __init__(self, budget: str | float | None, clock: Clock) -> None:
        self.share = share_of(budget)
        self._clock, self._start = clock, clock()
        self._spent = 0.0
        self._since: float | None = None

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self._clock() - self._start

    def spent(self) -> float:
        """Return the seconds that were spent, including a block that is being timed."""
        running = 0.0 if self._since is None else self._clock() - self._since
        return self._spent + running

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Count the time of a block as spent, also where it raises an exception."""
        self._since = self._clock()
        try:
            yield
        finally:
            self._spent, self._since = self.spent(), None

    def allowed(self) -> float | None:
        """Return the seconds that may have been spent by now; None without a limit."""
        return None if self.share is None else self.share * self.elapsed()

    def affords(self, seconds: float) -> bool:
        """Return True if this many more seconds are within the share of the time by now."""
        allowed = self.allowed()
        return allowed is None or self.spent() + seconds <= allowed


def share_of(budget: str | float | None) -> float | None:
    """Return a budget as a fraction; ValueError unless it is above 0 and at most 1.

    1 and "1" are refused, since they could mean one percent or all the time.
    """
    if budget is None:
        return None
    text = str(budget).strip()
    if text == "1":
        raise ValueError(f"budget {budget!r} may mean '1%' or '100%': pass one of these")
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError(f"budget must be a share of the time such as '1%' or 0.01, not {budget!r}")
    return share
