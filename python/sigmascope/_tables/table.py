# SPDX-License-Identifier: BSD-3-Clause
"""A table of rows and the header that describes it: the common base of scans and comparisons."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sigmascope._host.keywords import similar
from sigmascope._words.notebook import rows_html
from sigmascope.checkpoint.formats.identity import FileIdentity

from . import saving
from .journal import Header
from .schema import Row, Schema
from .shards import Shard

if TYPE_CHECKING:
    import pandas as pd

    from sigmascope._display.plot import Plots


@dataclass(frozen=True, slots=True, repr=False, eq=False, kw_only=True)
class Table:
    """The common base of a scan and a comparison: one row for every tensor.

    Attributes
    ----------
    schema, sources
        Attributes of the class: its columns, and the names of the attributes that hold the paths of
        the checkpoints.
    options
        Options with which the rows were computed.
    rows
        Plain records with the columns of `schema`.
    expected
        Number of rows of the complete table; more than ``len(rows)`` if it was interrupted.
    notes
        Remarks on the files.
    files
        Name, size and digest of every file that was read.
    engine
        Version, instruction set and BLAS, which decide every bit together with the options.
    architecture
        Class or type of the model, or the kind of the adapter. A comparison names both if they
        differ. None if no configuration names it.
    shard
        If the table is a part of a larger one: which part, and the positions of its rows there.
        None for a whole table.
    """

    schema: ClassVar[Schema]
    sources: ClassVar[tuple[str, ...]]

    options: dict[str, Any]
    rows: list[Row]
    expected: int
    notes: tuple[str, ...] = ()
    files: tuple[FileIdentity, ...] = ()
    engine: dict[str, Any] = field(default_factory=dict)
    architecture: str | None = None
    shard: Shard | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row["name"] == name:
                return row
        near = similar(name, [row["name"] for row in self.rows])
        raise KeyError(f"no row {name!r} among {len(self.rows)}{near}")

    def _repr_html_(self) -> str:
        return rows_html(repr(self), self.rows, self.schema.what)

    @property
    def complete(self) -> bool:
        """True if the table has every row."""
        return len(self.rows) >= self.expected

    @property
    def analysed(self) -> list[Row]:
        """Rows with a spectrum."""
        return [row for row in self.rows if row["status"] == "analysed"]

    @property
    def entrywise(self) -> list[Row]:
        """Rows of tensors without a spectrum, whose numbers were read one by one."""
        return [row for row in self.rows if row["status"] == "entrywise"]

    @property
    def failed(self) -> list[Row]:
        """Rows whose analysis failed."""
        return [row for row in self.rows if row["status"] == "failed"]

    @property
    def unreadable(self) -> list[Row]:
        """Rows of weights that this version cannot decode, except those that were excluded."""
        return [
            row
            for row in self.rows
            if row["kind"] == "unreadable" and row["status"] == "not analysed"
        ]

    @property
    def unconverged(self) -> list[Row]:
        """Analysed rows that did not reach the tolerance; their error bounds remain valid."""
        return [row for row in self.analysed if not row["converged"]]

    @property
    def seconds(self) -> float:
        """Time spent on the matrices."""
        return float(sum(row["seconds"] or 0.0 for row in self.rows))

    @property
    def bytes(self) -> int:
        """Stored bytes of the matrices that were analysed."""
        return sum(row["nbytes"] for row in self.analysed)

    def header(self) -> Header:
        """Return the first line of a saved table: the schema and every attribute but the rows."""
        return {
            "schema": self.schema.name,
            "version": self.schema.version,
            **{name: getattr(self, name) for name in self.sources},
            "options": self.options,
            "expected": self.expected,
            "notes": list(self.notes),
            "files": [dict(file) for file in self.files],
            "engine": self.engine,
            "architecture": self.architecture,
            "shard": None if self.shard is None else self.shard.to_header(),
        }

    @classmethod
    def of_header(cls, header: Header, rows: list[Row]) -> Self:
        """Make a table from its header and its rows; the header of a CSV is nearly empty."""
        sources: dict[str, Any] = {name: header.get(name, "") for name in cls.sources}
        return cls(
            options=header.get("options", {}),
            rows=rows,
            expected=header.get("expected", len(rows)),
            notes=tuple(header.get("notes", ())),
            files=tuple(header.get("files", ())),
            engine=header.get("engine", {}),
            architecture=header.get("architecture"),
            shard=Shard.of_header(header.get("shard")),
            **sources,
        )

    def to_pandas(self, columns: Sequence[str] | str | None = None) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame; ImportError without the extra ``table``.

        Parameters
        ----------
        columns : sequence of str, "filled" or None
            Names of columns; "filled" stands for the columns with a value in some row. None stands
            for all columns of the schema: over a hundred, and the same for every analysis.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        names = _chosen_columns(columns, self.rows, self.schema)
        frame: pd.DataFrame = saving.pandas_frame(self.rows, self.schema, names)
        return frame

    def to_arrow(self) -> Any:
        """Return the rows as a pyarrow Table; ImportError without the extra ``table``."""
        return saving.arrow_table(self.rows, self.header(), self.schema)

    @property
    def plot(self) -> Plots:
        """Plots of the rows (extra ``plot``): `scan.plot.depth("stable_rank")` and so on."""
        from sigmascope._display.plot import Plots

        return Plots(self.rows, comparison=self.schema.what == "comparison")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the table as `.jsonl`, `.csv`, `.parquet` or `.html`; a page cannot be loaded again.

        The file is replaced by one operation, so no other program sees an incomplete file.

        Raises
        ------
        ValueError
            If the suffix is another.
        ImportError
            If pyarrow (extra ``table``) is missing for Parquet.
        OSError
            If the file cannot be written; the message has the path.
        """
        saving.write(Path(path), self.header(), self.rows, self.schema)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a saved table, or the complete lines of the journal of a run that was killed.

        A CSV has only the rows, so paths and options are empty after loading one.

        Raises
        ------
        ValueError
            If the file is not such a table, or has another version; the message has file and line.
        OSError
            If the file cannot be read.
        """
        return cls.of_header(*saving.read(Path(path), cls.schema))


def _chosen_columns(
    columns: Sequence[str] | str | None, rows: Sequence[Row], schema: Schema
) -> list[str]:
    """Return the names of the columns that a caller wants, in the order of the request."""
    if columns is None:
        return [*schema.columns]
    if columns == "filled":
        return [name for name in schema.columns if any(row[name] is not None for row in rows)]
    names = [columns] if isinstance(columns, str) else list(columns)
    for name in names:
        if name not in schema.columns:
            raise ValueError(
                f"a {schema.what} has no column {name!r}{similar(name, schema.columns)}"
            )
    return names
