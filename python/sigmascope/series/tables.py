# SPDX-License-Identifier: BSD-3-Clause
"""The table class of series: rows with fixed columns, saved as CSV or JSON lines."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sigmascope._host.replacing import replacing
from sigmascope._tables.saving import import_pandas
from sigmascope._tables.schema import Row

SEEDS = frozenset({"seed", "reference_seed"})
"""Columns with seeds, which files of earlier versions lack."""


class SeriesTable(Sequence[Row]):
    """Rows with the same columns, in the order of `columns`.

    A column that does not apply is None.

    Attributes
    ----------
    columns : tuple of str
        Names of the columns.
    rows : list of dict
        Rows as plain JSON.
    seed : int or None
        Seed of the scans that were run for the table; None if every source was a saved table. The
        column `seed` has the seed of each row, and saved files keep it.
    """

    def __init__(self, columns: Sequence[str], rows: list[Row], seed: int | None = None) -> None:
        self.columns, self.rows, self.seed = tuple(columns), rows, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def where(self, **values: Any) -> list[Row]:
        """Return the rows that have these values: ``table.where(role="q", layer=3)``.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        if strange := sorted(values.keys() - set(self.columns)):
            names = ", ".join(self.columns)
            raise ValueError(f"there is no column {strange[0]!r}; the columns are {names}")
        return [row for row in self.rows if all(row[name] == v for name, v in values.items())]

    def to_pandas(self) -> Any:
        """Return the rows as a pandas DataFrame; ImportError without the extra ``table``."""
        pd = import_pandas()
        frame = pd.DataFrame(self.rows, columns=list(self.columns))
        for name in SEEDS.intersection(self.columns):  # float64 holds no seed of more than 53 bits
            frame[name] = pd.array([row[name] for row in self.rows], dtype="UInt64")
        return frame

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the table as `.csv` or `.jsonl`; the file is replaced atomically.

        Raises
        ------
        ValueError
            If the path has another suffix.
        OSError
            If the file cannot be written; the message has the path.
        """
        target = Path(path)
        if target.suffix not in (".csv", ".jsonl"):
            raise ValueError(f"{target}: a table is saved as .csv or .jsonl, not {target.suffix!r}")
        with (
            replacing(target) as temporary,
            open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            if target.suffix == ".jsonl":
                file.writelines(json.dumps(row) + "\n" for row in self.rows)
                return
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
