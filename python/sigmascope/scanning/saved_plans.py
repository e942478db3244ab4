# SPDX-License-Identifier: BSD-3-Clause
"""A plan as a file with a row for each matrix or pair, in any format of a table except a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from sigmascope._tables import saving
from sigmascope._tables.schema import Kind, Schema

from .plans import Plan, TensorPlan

_SUFFIXES = tuple(suffix for suffix in saving.SUFFIXES if suffix != ".html")
_KINDS: dict[str, Kind] = {
    "str": "str",
    "str | None": "str",
    "int": "int",
    "float": "float",
    "bool": "bool",
}
SCHEMA = Schema(
    name="sigmascope-plan",
    version=1,
    what="plan",
    columns={field.name: _KINDS[str(field.type)] for field in fields(TensorPlan)},
    reads=(1,),
)


def check_paths(paths: Sequence[Path]) -> None:
    """Check that a plan can be saved at each path.

    An existing file is never replaced, since it may hold results.

    Raises
    ------
    ValueError, ImportError
        The suffix is not .jsonl, .csv or .parquet; Parquet has no pyarrow.
    OSError
        A file exists already, or cannot be made there.
    """
    for path in paths:
        if path.suffix not in _SUFFIXES:
            raise ValueError(
                f"{path}: a plan is saved as {', '.join(_SUFFIXES)}, not {path.suffix!r}"
            )
        saving.suffix_of(path, SCHEMA)  # Parquet needs a package
        if path.exists():
            raise FileExistsError(
                f"{path} already exists, and a plan does not replace a file, which may hold the "
                "rows of a run"
            )
        saving.probe(path)


def save_plan(plan: Plan, path: Path) -> None:
    """Save the rows of a plan; the header of .jsonl and .parquet has its totals.

    Raises the errors of :func:`check_paths`.
    """
    check_paths([path])
    header = {"schema": SCHEMA.name, "version": SCHEMA.version, "totals": plan.totals()}
    saving.write(path, header, [asdict(tensor) for tensor in plan], SCHEMA)
