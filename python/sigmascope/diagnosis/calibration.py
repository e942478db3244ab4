# SPDX-License-Identifier: BSD-3-Clause
"""Calibrations, the reference of a diagnosis: fit, save and load runs of known data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from sigmascope.extension import MAX_TABLE_BYTES, public, read_regular, replacing
from sigmascope.extension.tables import Source, engine, path_of, read_source

from .places import Place, update_of
from .runs import (
    BROAD_AT_LEAST,
    NARROW_AT_MOST,
    CalibrationRun,
    Label,
    check_label,
    labelled_runs,
    run_of,
    run_record,
)
from .scores import Score, average_values
from .validation import ErrorRate, Labelled, error_rate, runs_with_label, score_of
from .verdicts import Scored

SCHEMA, VERSION = "sigmascope.calibration", 1

EXAMPLE = "example"
"""Name by which :meth:`Calibration.load` finds the calibration that the package ships."""

EXAMPLE_ONLY = (
    "Example calibration: not from your kind of run, so this verdict means nothing for your model."
)
"""First sentence of every answer that the example calibration gives."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Calibration:
    """Runs of known data with one recipe, and a score for narrow and broad data.

    Attributes
    ----------
    runs : tuple of CalibrationRun
    recipe : dict
        The declared settings that all runs share: optimizer, learning rate, steps and so on. A
        level does not carry over to another recipe.
    score : Score
        Fitted to all runs with a class, or the mean over places.
    narrow_at_most, broad_at_least : float
        Thresholds on breadth that assign a run with a numeric label to a class.
    engine : dict
        Version, kernels and BLAS of the package that fitted the score.
    example : bool
        True for the calibration that the package ships to show what an answer looks like. Its runs
        do not resemble the user's, and every result made with it says so.
    """

    runs: tuple[CalibrationRun, ...]
    recipe: dict[str, Any]
    score: Score
    narrow_at_most: float = NARROW_AT_MOST
    broad_at_least: float = BROAD_AT_LEAST
    engine: dict[str, Any] = field(default_factory=dict)
    example: bool = False

    @classmethod
    @public
    def fit(
        cls,
        runs: Iterable[tuple[Source, Label, str]],
        *,
        recipe: Mapping[str, Any] | None = None,
        score: str = "auto",
        narrow_at_most: float = NARROW_AT_MOST,
        broad_at_least: float = BROAD_AT_LEAST,
    ) -> Self:
        """Digest runs of known data, and fit the score.

        Parameters
        ----------
        runs : iterable of (comparison, label, group)
            The comparison of a base with a model that was trained from it, or the path of a saved
            one. The label: "narrow", "broad", a breadth (a number of 1 or more, such as the number
            of tasks), or None. The group: the base, or anything else that runs share.
        recipe : mapping, optional
            Settings that all runs share: optimizer, learning rate, steps, batch, decay.
        score : str
            "spread", the mean over places; "fitted", a ridge regression; or "auto", which fits
            if there are 16 labelled runs of 2 groups.
        narrow_at_most, broad_at_least : float
            Breadths that count as narrow and as broad.

        Returns
        -------
        Calibration

        Raises
        ------
        ValueError
            If a label is invalid, a class has no run, or the runs have no place in common.
        TypeError, CheckpointError, OSError
            As for reading a comparison.

        Notes
        -----
        Each run takes memory for a few hundred numbers. Fitting takes milliseconds in addition to
        reading the rows. Hoerl & Kennard 1970 (ridge regression).

        Examples
        --------
        >>> Calibration.fit([("ba.jsonl", "narrow", "b1"), ("ce.jsonl", "broad", "b1")])
        ... # doctest: +SKIP
        """
        if not 1 <= narrow_at_most < broad_at_least:
            raise ValueError(
                f"narrow_at_most = {narrow_at_most} must be at least 1 and below broad_at_least = "
                f"{broad_at_least}"
            )
        if score not in ("auto", "spread", "fitted"):
            raise ValueError(f"score must be auto, spread or fitted, not {score!r}")
        digests: list[CalibrationRun] = []
        for number, (source, label, group) in enumerate(runs, 1):
            read = read_source(source, {}, number)
            check_label(label, read.label)
            try:
                update = update_of(read.rows)
            except ValueError as error:
                raise ValueError(f"{read.label}: {error}") from error
            digests.append(CalibrationRun(label, str(group), update, path_of(source)))
        kept = tuple(digests)
        made = cls(
            kept,
            dict(recipe or {}),
            score_of(labelled_runs(kept, narrow_at_most, broad_at_least), score),
            float(narrow_at_most),
            float(broad_at_least),
            engine(),
        )
        for side in ("narrow", "broad"):
            if not any(run.side == side for run in made.labelled()):
                raise ValueError(f"the calibration has no {side} run")
        return made

    def __repr__(self) -> str:
        sides = [run.side for run in self.labelled()]
        groups = len({run.group for run in self.runs})
        return (
            f"Calibration({'example, ' * self.example}{sides.count('narrow')} narrow and "
            f"{sides.count('broad')} broad runs, "
            f"{sides.count(None)} others, {groups} group{'s' if groups != 1 else ''}, "
            f"{self.score.kind} score over {len(self.score.places)} places)"
        )

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of the runs, each once."""
        return tuple(dict.fromkeys(run.group for run in self.runs))

    def labelled(self) -> list[Labelled]:
        """Return the runs in the form that a score is fitted to."""
        return labelled_runs(self.runs, self.narrow_at_most, self.broad_at_least)

    def scored(self) -> list[Scored]:
        """Return the calibration's own score of each run that has a class."""
        return [
            Scored(self.score.of(run.values), run.side, run.group)
            for run in self.labelled()
            if run.side is not None
        ]

    def error_rate(self, alpha: float = 0.05) -> ErrorRate:
        """Diagnose every run as if its group were not in the calibration.

        Parameters
        ----------
        alpha : float
            Level of the verdicts.
        """
        return _error_rate(self, alpha)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the calibration to a JSON file, which is replaced as a whole."""
        record = {
            "schema": SCHEMA,
            "version": VERSION,
            "recipe": self.recipe,
            "narrow_at_most": self.narrow_at_most,
            "broad_at_least": self.broad_at_least,
            "engine": self.engine,
            "example": self.example,
            "score": self._score_record(),
            "runs": [run_record(run) for run in self.runs],
        }
        text = json.dumps(record, indent=1, allow_nan=False) + "\n"
        with replacing(Path(path)) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _score_record(self) -> dict[str, Any]:
        record = asdict(self.score)
        del record["averages"]  # the runs, which are saved, give them
        return record

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a saved calibration.

        Parameters
        ----------
        path : path
            A file, or "example" for the calibration that the package ships: runs of small models
            (docs/regimes.md), which show what an answer looks like. A file named "example" takes
            precedence.

        Raises
        ------
        ValueError
            If the file is not a calibration, or was written by a later version.
        OSError
            If the file cannot be read.
        """
        where = os.fspath(path)
        if where == EXAMPLE and not Path(where).exists():
            path = Path(__file__).with_name("example.json")
        try:
            record = json.loads(read_regular(Path(path), MAX_TABLE_BYTES))
        except ValueError as error:
            raise ValueError(f"{where}: not a calibration: {error}") from error
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise ValueError(f"{where}: not a calibration: its schema is not {SCHEMA!r}")
        if record.get("version") != VERSION:
            raise ValueError(
                f"{where}: version {record.get('version')} of a calibration; this package reads "
                f"version {VERSION}"
            )
        try:
            runs = tuple(run_of(run) for run in record["runs"])
            limits = float(record["narrow_at_most"]), float(record["broad_at_least"])
            return cls(
                runs,
                dict(record["recipe"]),
                _score_of_record(record["score"], labelled_runs(runs, *limits)),
                *limits,
                dict(record["engine"]),
                bool(record.get("example", False)),  # files of earlier versions lack it
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{where}: not a complete calibration: {error!r}") from error


def _score_of_record(record: Mapping[str, Any], runs: Sequence[Labelled]) -> Score:
    places = tuple(Place(*place) for place in record["places"])
    averages: tuple[float, ...] = ()
    if record["kind"] == "fitted":
        averages = average_values([run.values for run in runs_with_label(runs)], places)
    weights = tuple(record["weights"])
    return Score(record["kind"], places, weights, record["constant"], record["penalty"], averages)


@lru_cache(maxsize=16)
def _error_rate(calibration: Calibration, alpha: float) -> ErrorRate:
    return error_rate(calibration.labelled(), calibration.score.kind, alpha)
