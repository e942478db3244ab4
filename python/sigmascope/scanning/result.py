# SPDX-License-Identifier: BSD-3-Clause
"""The result of a scan, its outputs, and what carries it out of a scan that ends early."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sigmascope.errors import SigmascopeError

from . import saving
from .rows import SCHEMA, VERSION, Row

if TYPE_CHECKING:
    import pandas as pd


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
    """

    checkpoint: str
    options: dict[str, Any]
    rows: list[Row]
    expected: int
    notes: tuple[str, ...] = ()

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

    def header(self) -> dict[str, Any]:
        """Return the first line of a saved scan: schema, version, and all but the rows."""
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "checkpoint": self.checkpoint,
            "options": self.options,
            "expected": self.expected,
            "notes": list(self.notes),
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame; ImportError without the extra ``table``."""
        frame: pd.DataFrame = saving.pandas_frame(self.rows)
        return frame

    def to_arrow(self) -> Any:
        """Return the rows as a pyarrow Table; ImportError without the extra ``table``."""
        return saving.arrow_table(self.rows, self.header())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save as `.jsonl`, `.csv` or `.parquet`; the file appears whole or not at all.

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
        header, rows = saving.read(Path(path))
        return cls(
            checkpoint=header.get("checkpoint", ""),
            options=header.get("options", {}),
            rows=rows,
            expected=header.get("expected", len(rows)),
            notes=tuple(header.get("notes", ())),
        )


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


class Outputs:
    """The files of a scan: journals that grow with it, others that are saved when it ends.

    Opening raises what :func:`scan` documents for `out`, before any work is done.
    """

    def __init__(self, paths: Iterable[Path], scan: Scan) -> None:
        formats = {path: saving.suffix_of(path) for path in paths}
        self._scan = scan
        self._tables = [path for path, suffix in formats.items() if suffix != ".jsonl"]
        for path in self._tables:
            saving.probe(path)
        self._files = ExitStack()
        with self._files:
            self._journals = [
                self._files.enter_context(saving.Journal(path, scan.header()))
                for path, suffix in formats.items()
                if suffix == ".jsonl"
            ]
            self._files = self._files.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def append(self, row: Row) -> None:
        """Write a row to the journals; OutputError if one of them fails."""
        for journal in self._journals:
            try:
                journal.write(row)
            except OSError as error:
                raise OutputError(error, self._scan) from error

    def finish(self) -> None:
        """Save the other files, as many as can be; OutputError for the first that cannot."""
        failed: OSError | None = None
        for path in self._tables:
            try:
                self._scan.save(path)
            except OSError as error:
                failed = failed or error
        if failed is not None:
            raise OutputError(failed, self._scan) from failed
