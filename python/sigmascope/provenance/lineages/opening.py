# SPDX-License-Identifier: BSD-3-Clause
"""Models of paths, open checkpoints, arrays and fingerprints."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, NoReturn

from sigmascope import Checkpoint, open_checkpoint
from sigmascope.adapters import Adapter
from sigmascope.extension import public

from .blocks import SEED
from .extraction import CheckpointModel
from .fingerprints import Fingerprint, sketch_model
from .models import Model
from .reading import is_adapter
from .sketched import SketchedModel

UNITS = 1024
"""Hidden units of a layer that are read: 9 % of the rows of a model of 7 billion parameters."""

Source = str | os.PathLike[str] | Checkpoint | Mapping[str, Any] | Fingerprint


def open_models(sources: Sequence[Source], units: int | None, seed: int) -> list[Model]:
    """Return the models of several sources; beside a fingerprint, all are sketched alike.

    Raises
    ------
    ValueError
        If two fingerprints have other seeds, or other numbers of units.
    """
    opened = [_open(source) for source in sources]
    prints = [each for each in opened if isinstance(each, Fingerprint)]
    if prints:
        units, seed = prints[0].units, prints[0].seed
        for other in prints[1:]:
            if (other.units, other.seed) != (units, seed):
                raise ValueError(
                    f"{prints[0].name} has units = {units} and seed = {seed}, but {other.name} has "
                    f"{other.units} and {other.seed}: make both fingerprints with the same"
                )
    models: list[Model] = []
    for each in opened:
        if isinstance(each, Fingerprint):
            models.append(each)
        else:
            model = CheckpointModel(each, units=units, seed=seed)
            models.append(SketchedModel(model) if prints else model)
    return models


def _open(source: Source) -> Checkpoint | Fingerprint:
    """Return the fingerprint or the checkpoint of a source; of files, only headers are read."""
    if isinstance(source, Fingerprint):
        return source
    if isinstance(source, str | os.PathLike) and PurePath(source).suffix == ".npz":
        return Fingerprint.load(source)
    return _open_checkpoint(source)


def _open_checkpoint(source: str | os.PathLike[str] | Checkpoint | Mapping[str, Any]) -> Checkpoint:
    """Return a checkpoint, with its heads cut if a path is opened; refuse an adapter."""
    if isinstance(source, Adapter):
        refuse_adapter(source.path)
    opened = source if isinstance(source, Checkpoint) else open_checkpoint(source, heads=True)
    if is_adapter(opened):
        refuse_adapter(opened.path)
    return opened


def refuse_adapter(path: object) -> NoReturn:
    """Raise ValueError, with the reason and two ways to go on."""
    raise ValueError(
        f"{path} is an adapter: it holds a change of weights, not weights. A change is related "
        "to nothing by its numbers, not even to its base model. Compare the merged model, which "
        "sigmascope.provenance.apply writes, or let sigmascope.provenance.verify find whether a "
        "merged model contains this adapter"
    )


@public
def fingerprint(
    checkpoint: str | os.PathLike[str] | Checkpoint | Mapping[str, Any],
    *,
    units: int | None = UNITS,
    seed: int = SEED,
) -> Fingerprint:
    """Return a sketch of a model that stands for it in tests of lineage.

    Examples
    --------
    >>> fingerprint("model/").save("model.npz")                         # doctest: +SKIP
    >>> lineage("other/", "model.npz").verdict                          # doctest: +SKIP
    'not rejected'

    A model of 7 billion parameters has a fingerprint of 2 MB. All tests stay exact; weak ties
    become invisible, since 16 sums stand for the features of a unit.

    Parameters
    ----------
    checkpoint : path, URL, Checkpoint, or mapping of arrays
    units : int, optional
        Most hidden units that are read of a layer. None reads all of them.
    seed : int
        Seed of the samples and of the map. Fingerprints of one seed can be compared.

    Returns
    -------
    Fingerprint
        Its `save` writes a file that :func:`lineage` takes like a checkpoint.

    Raises
    ------
    CheckpointError
        If a file is malformed, or no tensor of it has a role that a test can use.
    ValueError
        If the file is an adapter.

    See Also
    --------
    lineage : The tests of a pair.
    """
    opened = _open_checkpoint(checkpoint)
    source = [dict(each) for each in opened.identities()]
    return sketch_model(CheckpointModel(opened, units=units, seed=seed), source)
