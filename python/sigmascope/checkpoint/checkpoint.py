# SPDX-License-Identifier: BSD-3-Clause
"""A checkpoint as a mapping from tensor names to matrices, every tensor accounted for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sigmascope.checkpoint.configuration import Configuration, read_configuration
from sigmascope.checkpoint.files import Files, read_files, read_ranks
from sigmascope.checkpoint.fused import key_heads, role_of_view, split, whole_notes
from sigmascope.checkpoint.jsontext import brief
from sigmascope.checkpoint.layouts import quantised_parts, tied_parts
from sigmascope.checkpoint.ranks import check_ranks, joined, width_of
from sigmascope.checkpoint.reading import read_as
from sigmascope.checkpoint.record import TensorRecord
from sigmascope.checkpoint.roles import Role, roles_of
from sigmascope.checkpoint.views import Located, Reading, View
from sigmascope.errors import CheckpointError
from sigmascope.reading import check_reading

if TYPE_CHECKING:
    from sigmascope.matrices import Matrix

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

Origin = tuple[tuple[str, ...], bool, str]
"""What a checkpoint was opened with: absolute paths, `split_fused`, `reading`."""


class Checkpoint(Mapping[str, "Matrix"]):
    """The matrices of a checkpoint by name, in file order.

    Slices of a stacked tensor are named `name[0]`, `name[1]` and so on, parts of a fused one
    `name[q]`, `name[k]`, `name[v]`, `name[gate]` and `name[up]`. Opening reads headers only; a
    matrix reads its data when it is used, and its scales when it is looked up. Made by
    `open_checkpoint`; pickled, it is the paths, which are opened again.

    Attributes
    ----------
    path : Path
        What was opened.
    files : tuple of Path
        Its files, in the order of their names, rank after rank.
    roles : mapping of str to Role
        The role of every matrix and of every stored tensor.
    unreadable : mapping of str to str
        Weights that cannot be analysed, with the reason. Vectors, scalars, integers and parts
        of quantised weights are not among them: see `info()`.
    notes : tuple of str
        Remarks on the files: a wrong total size in the index, files left out, fused weights that
        are not split.
    reading : str
        How its matrices are read; see :mod:`sigmascope.reading`.
    origin : tuple
        Paths, `split_fused` and `reading` that it was opened with: what :func:`reopened` takes.
    """

    def __init__(
        self, paths: tuple[Path, ...], files: Files, split_fused: bool, reading: str
    ) -> None:
        self.path = paths[0]
        self.reading = reading
        self.origin: Origin = tuple(os.path.abspath(path) for path in paths), split_fused, reading
        self.files: tuple[Path, ...] = tuple(header.path for header in files.headers)
        ranks = [
            {entry.name: Located(header, entry) for header in rank for entry in header.entries}
            for rank in files.ranks
        ]
        check_ranks(ranks)
        self._pieces = {name: tuple(rank[name] for rank in ranks) for name in ranks[0]}
        config = read_configuration(files.folder)
        roles = roles_of(self._pieces)
        self._readings = _read(ranks, roles, config)
        whole: dict[str, str] = {}
        if split_fused and len(ranks) == 1:
            self._readings, whole = split(self._readings, roles, config)
        self.notes: tuple[str, ...] = files.notes + config.notes + whole_notes(whole)
        self._views = _by_name(self._readings)
        roles |= {
            view.name: role_of_view(roles[view.tensor], view) for view in self._views.values()
        }
        self.roles: Mapping[str, Role] = MappingProxyType(roles)
        self.unreadable: Mapping[str, str] = MappingProxyType(
            {
                name: reading.reason or ""
                for name, reading in self._readings.items()
                if reading.status == "unreadable"
            }
        )

    def __getitem__(self, name: str) -> Matrix:
        """Return the matrix of that name, its scales read, its file checked to be unchanged.

        Raises
        ------
        KeyError
            There is no such tensor, or it is no matrix: the message gives the reason.
        CheckpointError
            The file changed since the checkpoint was opened, or a scale is not finite.
        """
        if name not in self._views:
            reading = self._readings.get(name)
            if reading is None:
                raise KeyError(name)
            raise KeyError(f"{name}: {reading.reason or reading.how}")
        return self._views[name].matrix(self.reading)

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __contains__(self, name: object) -> bool:
        return name in self._views

    def __repr__(self) -> str:
        return (
            f"<Checkpoint {str(self.path)!r}: {len(self)} matrices, "
            f"{len(self._pieces)} tensors in {len(self.files)} files>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return reopened, (self.origin,)

    def info(self) -> list[TensorRecord]:
        """Return one record for every stored tensor, in file order; see `TensorRecord`."""
        return [self._record(name) for name in self._pieces]

    def record_of(self, name: str) -> TensorRecord:
        """Return the record of one matrix: its tensor's, with its own role and bytes."""
        view = self._views[name]
        record, role = self._record(view.tensor), self.roles[name]
        record["nbytes"], record["matrices"] = view.nbytes, (name,)
        record["layer"], record["role"] = role.layer, role.role
        record["tower"], record["expert"] = role.tower, role.expert
        return record

    def shape_of(self, name: str) -> tuple[int, int]:
        """Return the shape of one matrix, from the headers alone."""
        return self._views[name].shape

    def _record(self, name: str) -> TensorRecord:
        pieces, reading, role = self._pieces[name], self._readings[name], self.roles[name]
        header, entry = pieces[0].header, pieces[0].entry
        return TensorRecord(
            name=name,
            dtype=entry.dtype,
            shape=reading.shape or entry.shape,
            nbytes=sum(piece.entry.nbytes for piece in pieces),
            file=header.path.name,
            offset=entry.offset,
            status=reading.status,
            reason=reading.reason,
            view=reading.how,
            matrices=tuple(view.name for view in reading.views),
            layer=role.layer,
            role=role.role,
            tower=role.tower,
            expert=role.expert,
        )


def _read(
    ranks: Sequence[Mapping[str, Located]], roles: Mapping[str, Role], config: Configuration
) -> dict[str, Reading]:
    """Read every tensor as each rank has it, and join what the ranks have."""
    readings: list[dict[str, Reading]] = []
    for rank in ranks:
        entries = {name: located.entry for name, located in rank.items()}
        parts = tied_parts((located.header, located.entry) for located in rank.values())
        parts |= quantised_parts(entries, config.method)
        readings.append(
            {name: read_as(located, rank, parts, config.block) for name, located in rank.items()}
        )
    if len(ranks) == 1:
        return readings[0]
    width, heads = width_of(ranks[0], roles), key_heads(config.model)
    return {
        name: joined([found[name] for found in readings], roles[name], width, heads)
        for name in readings[0]
    }


def _by_name(readings: Mapping[str, Reading]) -> dict[str, View]:
    """Collect all views; a slice must not bear the name of another stored tensor."""
    views: dict[str, View] = {}
    for reading in readings.values():
        for view in reading.views:
            if view.name in views or (view.name != view.tensor and view.name in readings):
                raise CheckpointError(
                    f"{view.grid[0][0].header.path}: tensor {brief(view.name, 200)} has the name "
                    f"of a slice of {brief(view.tensor, 200)}"
                )
            views[view.name] = view
    return views


def open_checkpoint(
    path: Paths, *, split_fused: bool = True, reading: str = "buffered"
) -> Checkpoint:
    """Open a checkpoint; reads and validates headers, never tensor data.

    Parameters
    ----------
    path : path-like or sequence of path-like
        A `.safetensors` file, a file that PyTorch saved (`.bin`, `.pt`, `.pth`, `.ckpt`; its pickle
        is parsed, never run), a `.npy` file, an index of shards, or a folder with any of these:
        safetensors if there are any, else PyTorch's, else `.npy` files. Without an index a folder
        is read as its `model.safetensors` or `pytorch_model.bin`, or else as all files of its kind.

        A sequence is the ranks of tensor parallelism in their order, each a path that holds a
        piece of every matrix; files `consolidated.00.pth` and so on in a folder are seen to be
        such. The pieces are joined by what each tensor does.
    split_fused : bool
        Read q, k and v, or gate and up, out of one fused weight, where config.json names a model
        whose layout is known; a note says which are read whole, and why. False: all whole, under
        their own names.
    reading : str
        How matrices are read: "buffered", "uncached" (nothing of them stays in the page cache) or
        "mapped"; see :mod:`sigmascope.reading`. No number depends on it.

    Returns
    -------
    Checkpoint
        A mapping from names to matrices. Memory is a small multiple of the headers.

    Raises
    ------
    CheckpointError
        A file, the index or the folder is not what it claims to be. One bad shard fails the
        whole; the message names file and tensor, and the values that disagree.
    ValueError
        There is no such `reading`.

    Examples
    --------
    >>> checkpoint = open_checkpoint("model/")                          # doctest: +SKIP
    >>> matrix = checkpoint["model.layers.0.mlp.up_proj.weight"]        # doctest: +SKIP
    """
    reading = check_reading(reading)
    if isinstance(path, str | os.PathLike):
        return Checkpoint((Path(path),), read_files(path), split_fused, reading)
    paths = tuple(Path(rank) for rank in path)
    return Checkpoint(paths, read_ranks(paths), split_fused, reading)


def as_checkpoint(checkpoint: Checkpoint | Paths, reading: str | None = None) -> Checkpoint:
    """Open a checkpoint unless it is open.

    Parameters
    ----------
    checkpoint : Checkpoint or path
        Or paths, as for `open_checkpoint`.
    reading : str, optional
        As for `open_checkpoint`; None: "buffered", or as the checkpoint was opened.

    Raises
    ------
    CheckpointError
        As for `open_checkpoint`.
    ValueError
        There is no such `reading`, or the checkpoint was opened with another one.
    """
    if not isinstance(checkpoint, Checkpoint):
        return open_checkpoint(checkpoint, reading=reading or "buffered")
    if reading is not None and check_reading(reading) != checkpoint.reading:
        raise ValueError(
            f"{checkpoint.path} was opened with reading {checkpoint.reading!r}, not {reading!r}"
        )
    return checkpoint


def reopened(origin: Origin) -> Checkpoint:
    """Open a checkpoint again, in another process perhaps, as it was opened."""
    paths, split_fused, reading = origin
    path = paths if len(paths) > 1 else paths[0]
    return open_checkpoint(path, split_fused=split_fused, reading=reading)
