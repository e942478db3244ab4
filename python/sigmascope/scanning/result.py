# SPDX-License-Identifier: BSD-3-Clause
"""The result of a scan, and what carries it out of a scan that ends early."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sigmascope.checkpoint import FileIdentity
from sigmascope.errors import SigmascopeError

from . import saving
from .journal import Header
from .rows import SCHEMA, VERSION, Row
from .shards import Shard

if TYPE_CHECKING:
    import pandas as pd

    from sigmascope.plot import Plots


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Scan:
    """What a scan found: one row per tensor of the checkpoint, in file order.

    Attributes
    ----------
    checkpoint
        Path of what was scanned; empty if loaded from a CSV.
    options
        effort, k, tol, seed, num_threads, memory_limit (bytes), include, exclude.
    rows
        Records of the columns that :mod:`sigmascope.rows` lists; they are plain JSON.
    expected
        How many rows the whole scan has; more than ``len(rows)`` if it was interrupted.
    notes
        Remarks of the checkpoint on its files.
    files
        Name, size and digest of every file of the checkpoint.
    engine
        Version, instruction set and BLAS: what decides the last bits, besides the options.
    shard
        Which part this is, and of what, if it was made with a shard.
    """

    checkpoint: str
    options: dict[str, Any]
    rows: list[Row]
    expected: int
    notes: tuple[str, ...] = ()
    files: tuple[FileIdentity, ...] = ()
    engine: dict[str, Any] = field(default_factory=dict)
    shard: Shard | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row["name"] == name:
                return row
        raise KeyError(f"no row {name!r} among {len(self.rows)}")

    def __repr__(self) -> str:
        parts = [f"{len(self.analysed)} matrices analysed"]
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [] if self.complete else [f"{len(self.rows)} of {self.expected} rows"]
        return f"Scan({self.checkpoint!r}: {', '.join(parts)}, {self.seconds:.1f} s)"

    @property
    def complete(self) -> bool:
        """Whether every row is there."""
        return len(self.rows) >= self.expected

    @property
    def analysed(self) -> list[Row]:
        """The rows that have a spectrum."""
        return [row for row in self.rows if row["status"] == "analysed"]

    @property
    def failed(self) -> list[Row]:
        """The rows whose analysis failed."""
        return [row for row in self.rows if row["status"] == "failed"]

    @property
    def unreadable(self) -> list[Row]:
        """The rows of weights that this version cannot decode; excluded ones do not count."""
        return [
            row
            for row in self.rows
            if row["kind"] == "unreadable" and row["status"] == "not analysed"
        ]

    @property
    def unconverged(self) -> list[Row]:
        """The analysed rows that did not reach the tolerance; their errors hold all the same."""
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
        """Return the first line of a saved scan: schema, version, and all but the rows."""
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "checkpoint": self.checkpoint,
            "options": self.options,
            "expected": self.expected,
            "notes": list(self.notes),
            "files": [dict(file) for file in self.files],
            "engine": self.engine,
            "shard": None if self.shard is None else self.shard.to_header(),
        }

    @classmethod
    def of_header(cls, header: Header, rows: list[Row]) -> Self:
        """Return the scan that a header and its rows make; a CSV's header says nothing."""
        return cls(
            checkpoint=header.get("checkpoint", ""),
            options=header.get("options", {}),
            rows=rows,
            expected=header.get("expected", len(rows)),
            notes=tuple(header.get("notes", ())),
            files=tuple(header.get("files", ())),
            engine=header.get("engine", {}),
            shard=Shard.of_header(header.get("shard")),
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame; ImportError without the extra ``table``."""
        frame: pd.DataFrame = saving.pandas_frame(self.rows)
        return frame

    def to_arrow(self) -> Any:
        """Return the rows as a pyarrow Table; ImportError without the extra ``table``."""
        return saving.arrow_table(self.rows, self.header())

    @property
    def plot(self) -> Plots:
        """Plots of the rows (extra ``plot``): `scan.plot.depth("stable_rank")` and so on."""
        from sigmascope.plot import Plots

        return Plots(self.rows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save as `.jsonl`, `.csv`, `.parquet` or `.html`, a page to read that is not loaded again.

        The file appears whole or not at all.

        Raises
        ------
        ValueError
            Another suffix.
        ImportError
            Parquet without the extra ``table``.
        OSError
            It cannot be written; the path is named.
        """
        saving.write(Path(path), self.header(), self.rows)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a saved scan; also the journal of one that was killed, up to its last whole line.

        A CSV holds the rows alone: checkpoint and options are empty then.

        Raises
        ------
        ValueError
            The file is not a scan, or of a later version; file and line are named.
        OSError
            It cannot be read.
        """
        return cls.of_header(*saving.read(Path(path)))


class ScanInterrupted(KeyboardInterrupt):
    """Ctrl-C ended a scan; `scan` holds the rows done, and the outputs are saved."""

    def __init__(self, scan: Scan) -> None:
        super().__init__(f"{len(scan)} of {scan.expected} rows done")
        self.scan = scan


class OutputError(SigmascopeError, OSError):
    """An output could not be written; the path is named, and `scan` holds the rows done."""

    def __init__(self, error: OSError, scan: Scan) -> None:
        super().__init__(error.errno, error.strerror, error.filename)
        self.scan = scan
