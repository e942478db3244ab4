# SPDX-License-Identifier: BSD-3-Clause
"""A checkpoint as a mapping from tensor names to matrices, every tensor accounted for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypedDict

from sigmascope.checkpoint.index import Files, read_files
from sigmascope.checkpoint.jsontext import brief
from sigmascope.checkpoint.layouts import quantised_parts, read_quantisation
from sigmascope.checkpoint.roles import Role, roles_of
from sigmascope.checkpoint.views import Located, Reading, View, read_as
from sigmascope.errors import CheckpointError
from sigmascope.reading import check_reading

if TYPE_CHECKING:
    from sigmascope.matrices import Matrix


class TensorRecord(TypedDict):
    """What is known of one stored tensor without reading its data.

    `status` is "matrix", "stack" or "kernel" for tensors that can be analysed, `matrices` then
    names their matrices in the checkpoint and `view` says how they are read where that is not
    plain. Otherwise `reason` says why there is no spectrum, and `status` is "scalar", "vector",
    "empty", "integer", "scale" or "part" where none is to be expected, "unreadable" where a
    weight is lost to the analysis.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    file: str
    offset: int
    status: str
    reason: str | None
    view: str | None
    matrices: tuple[str, ...]
    layer: int | None
    role: str
    tower: str
    expert: int | None


class Checkpoint(Mapping[str, "Matrix"]):
    """The matrices of a checkpoint by name, in file order.

    Slices of a stacked tensor are named `name[0]`, `name[1]` and so on. Opening reads headers
    only; a matrix reads its data when it is used, and its scales when it is looked up. Made by
    `open_checkpoint`.

    Attributes
    ----------
    path : Path
        What was opened.
    files : tuple of Path
        The safetensors files, in the order of their names.
    roles : mapping of str to Role
        The role of every matrix and of every stored tensor.
    unreadable : mapping of str to str
        Weights that cannot be analysed, with the reason. Vectors, scalars, integers and parts
        of quantised weights are not among them: see `info()`.
    notes : tuple of str
        Remarks on the files: a wrong total size in the index, files left out.
    reading : str
        How its matrices are read; see :mod:`sigmascope.reading`.
    """

    def __init__(self, path: Path, files: Files, reading: str = "buffered") -> None:
        self.path = path
        self.reading = reading
        self.files: tuple[Path, ...] = tuple(header.path for header in files.headers)
        self._tensors = {
            entry.name: Located(header, entry)
            for header in files.headers
            for entry in header.entries
        }
        settings = read_quantisation(files.folder)
        self.notes: tuple[str, ...] = files.notes + settings.notes
        entries = {name: located.entry for name, located in self._tensors.items()}
        parts = quantised_parts(entries, settings.method)
        self._readings: dict[str, Reading] = {
            name: read_as(located, self._tensors, parts, settings.block)
            for name, located in self._tensors.items()
        }
        self._views = _by_name(self._readings)
        roles = roles_of(self._tensors)
        for view in self._views.values():
            if view.index is not None:
                roles[view.name] = replace(roles[view.tensor], expert=view.index)
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
        # The engine is native: imported late, so that headers can be read without it.
        from sigmascope.sources import tensor

        view = self._views[name]
        view.header.check_unchanged()
        scale = view.scale
        found = tensor(
            view.header.path,
            view.offset,
            view.shape,
            view.dtype,
            scale=None if scale is None else scale.load(self.reading),
            scale_block=None if scale is None else scale.block,
            reading=self.reading,
        )
        view.header.check_unchanged()  # what is open or mapped now is what was checked before
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __contains__(self, name: object) -> bool:
        return name in self._views

    def __repr__(self) -> str:
        return (
            f"<Checkpoint {str(self.path)!r}: {len(self)} matrices, "
            f"{len(self._tensors)} tensors in {len(self.files)} files>"
        )

    def info(self) -> list[TensorRecord]:
        """Return one record for every stored tensor, in file order; see `TensorRecord`."""
        return [self._record(name) for name in self._tensors]

    def _record(self, name: str) -> TensorRecord:
        located, reading, role = self._tensors[name], self._readings[name], self.roles[name]
        entry = located.entry
        return TensorRecord(
            name=name,
            dtype=entry.dtype,
            shape=entry.shape,
            nbytes=entry.nbytes,
            file=located.header.path.name,
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


def _by_name(readings: Mapping[str, Reading]) -> dict[str, View]:
    """Collect all views; a slice must not bear the name of another stored tensor."""
    views: dict[str, View] = {}
    for reading in readings.values():
        for view in reading.views:
            if view.index is not None and view.name in readings:
                raise CheckpointError(
                    f"{view.header.path}: tensor {brief(view.name, 200)} has the name of a slice "
                    f"of {brief(view.tensor, 200)}"
                )
            views[view.name] = view
    return views


def open_checkpoint(path: str | os.PathLike[str], *, reading: str = "buffered") -> Checkpoint:
    """Open a safetensors checkpoint; reads and validates headers, never tensor data.

    Parameters
    ----------
    path : path-like
        A `.safetensors` file, a `.safetensors.index.json`, or a folder with either. Without an
        index a folder is read as its `model.safetensors`, or else as all its files together.
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
    path = Path(path)
    reading = check_reading(reading)
    return Checkpoint(path, read_files(path), reading)


def as_checkpoint(
    checkpoint: Checkpoint | str | os.PathLike[str], reading: str | None = None
) -> Checkpoint:
    """Open a checkpoint unless it is open.

    Parameters
    ----------
    checkpoint : Checkpoint or path
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
