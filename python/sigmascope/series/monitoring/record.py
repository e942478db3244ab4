# SPDX-License-Identifier: BSD-3-Clause
"""The trajectory of a monitored run, and the file to which each step is appended."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from sigmascope._host.files import read_regular
from sigmascope._host.limits import MAX_TABLE_BYTES
from sigmascope._host.replacing import naming
from sigmascope._tables.schema import Row
from sigmascope.series.saved import kind_of, load_series
from sigmascope.series.sources import cells_of
from sigmascope.series.trajectory import COLUMNS, Trajectory, row_of

Where = tuple[str, str, int | None, str]
"""Tower, role, layer, measure."""


class Record:
    """The rows of a trajectory, step by step.

    Parameters
    ----------
    measures : tuple of str
        Columns that are followed.
    out : Path or None
        A `.jsonl` file to which each step appends its rows. An existing file is the beginning of
        the run, and keeps its rows.

    Raises
    ------
    ValueError
        If `out` has another suffix, or is not a trajectory of these measures.
    OSError
        If it cannot be read or written.
    CheckpointError
        If it is not a regular file.
    """

    def __init__(self, measures: tuple[str, ...], out: Path | None) -> None:
        self.measures, self._out = measures, out
        self.rows: list[Row] = []
        self._first: dict[Where, Row] = {}
        if out is not None:
            self._continue(out)

    def _continue(self, out: Path) -> None:
        if out.suffix != ".jsonl":
            raise ValueError(f"{out}: rows are appended to a .jsonl file, not to {out.suffix!r}")
        with naming(out):
            text = read_regular(out, MAX_TABLE_BYTES) if out.exists() else b""
            whole = text[: text.rfind(b"\n") + 1]
            stored = _columns_of(whole)
            if text and kind_of(stored) != COLUMNS:
                raise ValueError(f"{out}: not a trajectory, so no row is appended")
            if len(whole) < len(text):  # a line that a killed run did not finish
                os.truncate(out, len(whole))
        self._append([])  # an error now, and not during the training
        if not text:
            return
        table = load_series(out)
        assert isinstance(table, Trajectory)
        if set(table.measures) != set(self.measures):
            then, now = ", ".join(table.measures), ", ".join(self.measures)
            raise ValueError(f"{out}: its measures are {then}, not {now}")
        self.rows = table.rows
        if stored != COLUMNS:  # of an earlier version: every line of a file has the same columns
            self.trajectory().save(out)
        self._find_first()

    def _find_first(self) -> None:
        self._first = {}
        for row in self.rows:
            self._first.setdefault(_where(row), row)

    def drop_from(self, step: float) -> list[float]:
        """Remove the rows of `step` and of later ones; return their steps.

        A run that resumes from an earlier checkpoint makes these rows again.
        """
        dropped = sorted({row["step"] for row in self.rows if row["step"] >= step})
        if dropped:
            self.rows = [row for row in self.rows if row["step"] < step]
            self._find_first()
            if self._out is not None:
                self.trajectory().save(self._out)
        return dropped

    def add(self, step: float, places: Sequence[Sequence[Row]]) -> list[str]:
        """Add rows of places; each place is given as the scan rows of all its matrices.

        A place whose number of values has changed since its first row is left out: its mean would
        be over other matrices. A place without a value of any measure is left out too.

        Returns
        -------
        list of str
            Names of the matrices of the omitted places.
        """
        new: list[Row] = []
        left_out: dict[str, None] = {}
        for rows in places:
            if not any(list(cells_of(rows, measure, by_name=True)) for measure in self.measures):
                left_out |= dict.fromkeys(each["name"] for each in rows)
            for measure in self.measures:
                cells = list(cells_of(rows, measure, by_name=True))
                if not cells:
                    continue
                where = cells[0].tower, cells[0].role, cells[0].layer, measure
                row = row_of(step, measure, cells, self._first.get(where))
                first = self._first.setdefault(where, row)
                if first["count"] == row["count"]:
                    new.append(row)
                else:
                    left_out |= dict.fromkeys(each["name"] for each in rows)
        new.sort(key=lambda row: self.measures.index(row["measure"]))
        self.rows += new
        self._append(new)
        return list(left_out)

    def _append(self, rows: Sequence[Row]) -> None:
        if self._out is None:
            return
        with naming(self._out), open(self._out, "ab", buffering=0) as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows).encode())

    def trajectory(self) -> Trajectory:
        """Return all rows so far."""
        steps = tuple(sorted({row["step"] for row in self.rows}))
        return Trajectory(list(self.rows), steps, self.measures, {})


def _columns_of(text: bytes) -> tuple[str, ...]:
    """Return the names in the first line of JSON lines; an empty tuple if it is not a row."""
    try:
        row = json.loads(text.partition(b"\n")[0])
    except ValueError:
        return ()
    return tuple(row) if isinstance(row, dict) else ()


def _where(row: Row) -> Where:
    return row["tower"], row["role"], row["layer"], row["measure"]
