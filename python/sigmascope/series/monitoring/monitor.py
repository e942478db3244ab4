# SPDX-License-Identifier: BSD-3-Clause
"""The class Monitor: rows of a scan at some steps of a training run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, Unpack

from sigmascope._host.keywords import public_with_options_of
from sigmascope._tables.schema import Row
from sigmascope._words.verdicts import COMPARED
from sigmascope.scanning import scan
from sigmascope.scanning.keywords import LiveOptions
from sigmascope.scanning.live import LiveItem, LiveRows
from sigmascope.series.sources import MEASURES
from sigmascope.series.trajectory import Trajectory

from .budget import Budget, Clock
from .models import Model, tensors_of
from .record import Record
from .rotation import PlaceGroup, Rotation, grouped

Log = Callable[[str, float, int], object]
"""A function of a name, a value and a step, such as `add_scalar` of a SummaryWriter."""


class Monitor:
    """Spectra of a model during training, within a share of the training time.

    Parameters
    ----------
    model : module of torch, mapping of names to arrays, or callable
        The model whose parameters are analysed, or a function that returns a module or a mapping.
        The function is called at every step at which something can be analysed. Arrays may be on a
        GPU: each matrix is copied to the host when it is analysed.
    every : int
        Analyses run at steps that are multiples of this number.
    budget : str, float or None
        Largest share of the time since the monitor was made that analyses may take: "1%" or 0.01;
        None for no limit.
    measures : str or sequence of str
        Columns of a scan that the trajectory follows. Measures that :func:`spectrum` computes only
        on request are requested.
    out : path, optional
        A `.jsonl` file to which each step appends its part of the trajectory. An existing file is
        continued; it must be a trajectory of the same measures.
    log : callable, optional
        Function of a name, a value and a step, such as `SummaryWriter().add_scalar`. It is called
        for each measure of each visited tensor, with names like
        "stable_rank/layers.0.mlp.up_proj.weight".
    clock : callable
        Function that returns seconds.
    **options
        effort, k, tol, accuracy, seed, device, num_threads, memory_limit, include, exclude: as for
        :func:`scan`.

    Attributes
    ----------
    decision : dict
        Record of the last step with an analysis, as plain JSON: `step`; the seconds `elapsed`,
        `allowed` and `spent` when it ended; the names of tensors that were `analysed`, are
        `unchanged` since their last analysis, are `waiting` for time, `appeared`, `vanished`, or
        were `left_out` of the trajectory (because no measure has a value, or other matrices of
        their place failed); the `replaced` steps of the file; and the `reason` why tensors wait.

    Raises
    ------
    ValueError
        If an option is out of range, a pattern matches nothing, the sharding of the model hides its
        tensors (FullyShardedDataParallel, ZeRO stage 3), or `out` is not a trajectory of these
        measures.
    TypeError
        If the model is something else.
    DeviceError
        If the device is not available.

    See Also
    --------
    trajectory : The same for checkpoints.
    scan : All tensors of a model at once.

    Notes
    -----
    A visit covers the tensors of one role and layer; the least recently visited come first. It
    reads each tensor once, and computes the rows of tensors whose numbers have changed. A visit
    begins only if the budget allows the time of the last such visit, or of tensors with the same
    shapes. For new shapes that time is not known, and the visit begins if the time spent so far is
    within the budget. The very first visit always begins. One visit may therefore exceed the
    budget; the monitor then waits until its share is within the budget again. Seeds are fixed, so
    equal numbers give equal rows.

    A monitor needs the memory of :func:`scan`, and keeps the last row of each tensor.

    Examples
    --------
    >>> import numpy as np
    >>> import sigmascope as ss
    >>> weights = {"layers.0.mlp.up_proj.weight": np.eye(8, 4)}
    >>> monitor = ss.series.Monitor(weights, every=10, budget=None)
    >>> monitor.step(5)
    >>> [row["spectral_norm"] for row in monitor.step(10)]
    [1.0]
    >>> monitor.decision["analysed"]
    ['layers.0.mlp.up_proj.weight']
    """

    @public_with_options_of(scan)
    def __init__(
        self,
        model: Model,
        *,
        every: int = 100,
        budget: str | float | None = "1%",
        measures: Sequence[str] | str = MEASURES,
        out: str | os.PathLike[str] | None = None,
        log: Log | None = None,
        clock: Clock = time.perf_counter,
        **options: Unpack[LiveOptions],
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, not {every}")
        self._model, self._every, self._log = model, every, log
        followed = (measures,) if isinstance(measures, str) else tuple(measures)
        self._scanner = LiveRows.of(followed, **options)
        self._budget, self._rotation = Budget(budget, clock), Rotation()
        self._last: dict[str, tuple[Hashable, Row]] = {}
        self._reported: dict[str, str | None] = {}
        self._step: int | None = None
        self._listing_seconds = 0.0
        self.decision: dict[str, Any] = {}
        self._items = {each.item.name: each for each in self._listed(strict=True)}
        self._groups = grouped(list(self._items.values()))[0]
        self._scanner.close()
        self._record = Record(followed, None if out is None else Path(out))

    def __repr__(self) -> str:
        matrices = sum(each.item.matrix for each in self._items.values())
        spent, elapsed = self._budget.spent(), self._budget.elapsed()
        return f"Monitor({matrices} matrices, {spent:.1f} of {elapsed:.1f} s)"

    @property
    def trajectory(self) -> Trajectory:
        """Measures of the analysed places, step by step."""
        return self._record.trajectory()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the trajectory as `.csv` or `.jsonl`, as :meth:`Trajectory.save` does."""
        self.trajectory.save(path)

    def due(self, step: int) -> bool:
        """Return True if this step is one at which something may be analysed."""
        return step % self._every == 0 and step != self._step

    def step(self, step: int) -> list[Row] | None:
        """Analyse what the budget allows, if the step is a multiple of `every`.

        Parameters
        ----------
        step : int
            Number of the step, larger than at earlier calls; repeating the last one does nothing.

        Returns
        -------
        list of dict, or None
            None if the step is not due. Otherwise a row for each visited tensor, with the columns
            of a scan (:mod:`sigmascope.scanning.rows`) and `step`. A tensor whose numbers have not
            changed has its last row again. An error in one tensor, such as NaN, is the reason in
            its row. Second names of tied weights have rows with the reason; so do tensors without
            numbers to read, but only once.

        Raises
        ------
        ValueError
            If the step is less than an earlier one, or the model has been sharded meanwhile.
        OSError
            If the file `out` cannot be written.
        """
        if not self.due(step):
            return None
        if self._step is not None and step < self._step:
            raise ValueError(f"step {step} cannot follow step {self._step}")
        with self._budget.timing():
            rows = self._analysed(step)
        self.decision |= {
            "elapsed": self._budget.elapsed(),
            "allowed": self._budget.allowed(),
            "spent": self._budget.spent(),
        }
        self._step = step
        return rows

    def _listed(self, *, strict: bool = False) -> list[LiveItem]:
        return self._scanner.take(tensors_of(self._model), strict=strict)

    def _analysed(self, step: int) -> list[Row]:
        self.decision = {"step": step, "elapsed": 0.0, "allowed": None, "spent": 0.0}
        lists = ("analysed", "unchanged", "waiting", "appeared", "vanished", "left_out", "replaced")
        self.decision |= {name: [] for name in lists} | {"reason": None}
        if self._step is None:
            self.decision["replaced"] = self._record.drop_from(step)
        order = self._rotation.order(self._groups)
        if order and not self._affords(order[0], self._listing_seconds):
            self._report_waiting(order)
            return []
        try:
            rows = self._list_again()
            order, places = self._rotation.order(self._groups), []
            while order and self._affords(order[0]):
                places.append(self._visit(order.pop(0)))
                if self._rotation.count == 1 and self._budget.share is not None:
                    break  # a cold visit: its time does not predict the next one
            self._report_waiting(order)
        finally:
            self._scanner.close()
        rows += [row for place in places for row in place]
        self.decision["left_out"] = self._record.add(step, places)
        self._log_values(step, rows)
        return [{"step": step} | row for row in rows]

    def _log_values(self, step: int, rows: Sequence[Row]) -> None:
        """Call `log` for each value of each row."""
        if self._log is None:
            return
        for row in rows:
            for measure in self._record.measures:
                if row["status"] in COMPARED and row[measure] is not None:
                    self._log(f"{measure}/{row['name']}", row[measure], step)

    def _affords(self, group: PlaceGroup, more: float = 0.0) -> bool:
        if not self._rotation.count:
            return True
        return self._budget.affords((self._rotation.seconds(group) or 0.0) + more)

    def _report_waiting(self, order: Sequence[PlaceGroup]) -> None:
        """Record the groups that are not visited, and why."""
        self.decision["waiting"] = [name for group in order for name in group.names]
        if order:
            seconds = self._rotation.seconds(order[0])
            takes = "an unknown time" if seconds is None else f"about {seconds:.3g} s"
            self.decision["reason"] = (
                f"{self._budget.spent():.3g} s are spent, {self._budget.allowed():.3g} s are "
                f"allowed; the next matrix, {order[0].names[0]}, takes {takes}"
            )

    def _list_again(self) -> list[Row]:
        """List the current tensors; return new rows of tensors without numbers to read."""
        began = self._budget.spent()
        items = {each.item.name: each for each in self._listed()}
        self.decision["appeared"] = [name for name in items if name not in self._items]
        self.decision["vanished"] = [name for name in self._items if name not in items]
        for name in self.decision["vanished"]:
            self._last.pop(name, None)
            self._reported.pop(name, None)
        self._items = items
        self._groups, others = grouped(list(items.values()))
        new = [e.item for e in others if self._reported.get(e.item.name, "") != e.item.reason]
        self._reported = {each.item.name: each.item.reason for each in others}
        self._listing_seconds = self._budget.spent() - began
        return [item.row() for item in new]

    def _visit(self, group: PlaceGroup) -> list[Row]:
        """Make the rows of the tensors of one place, or reuse the last ones if nothing changed."""
        began = self._budget.spent()
        rows = []
        for item, _ in group.members:
            key, new = self._scanner.visit(item, self._last.get(item.name, (None,))[0])
            if new is not None:
                self._last[item.name] = key, new
            self.decision["unchanged" if new is None else "analysed"].append(item.name)
            rows.append(self._last[item.name][1])
        rows += [each.item.row() for each in group.tied]
        self._rotation.visited(group, self._budget.spent() - began)
        return rows
