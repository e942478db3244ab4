# SPDX-License-Identifier: BSD-3-Clause
"""A checkpoint as a mapping from tensor names to matrices, every tensor accounted for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sigmascope._host.keywords import similar
from sigmascope._words.text import path_text
from sigmascope.errors import CheckpointError
from sigmascope.matrices.byte_source import ByteSource

from .assembly import Origin, assembled
from .configuration import Configuration, stored_configuration
from .elements import Elements, is_decoded
from .formats.files import Files, read_files, read_ranks
from .formats.identity import FileIdentity
from .formats.memory import StoredArrays
from .formats.stored import Stored, StoredSource
from .naming.roles import Role
from .quantised.layouts import TIED
from .quantised.scales import HEADERS
from .ranks import check_ranks
from .record import TensorRecord
from .remote.paths import Place, shown_path
from .views import Located, View

if TYPE_CHECKING:
    from sigmascope.matrices.matrix import Matrix


class Checkpoint(Mapping[str, "Matrix"]):
    """The matrices of a checkpoint by name, in file order.

    A matrix has the name of its tensor, with a suffix if a tensor holds several: `name[0]`,
    `name[1]` and so on are slices of a stack; `name[q]`, `name[k]`, `name[v]`, `name[gate]` and
    `name[up]` are parts of a fused weight; `name[head 0]` and so on are attention heads.

    :func:`open_checkpoint` makes it and reads headers only. Looking up a matrix reads its scales;
    using the matrix reads its data. A pickle holds the paths, and unpickling opens them again.

    Attributes
    ----------
    path : Path or RemotePath
        The path that was opened.
    files : tuple of Path or RemotePath
        Files in the order of their names, rank after rank; empty for tensors in memory.
    architecture : str or None
        The model's class or type from config.json: "LlamaForCausalLM".
    roles : mapping of str to Role
        The role of every matrix and of every stored tensor.
    unreadable : mapping of str to str
        Weights that cannot be analysed, with the reason. `info()` lists the other tensors without
        a spectrum: vectors, scalars, integers, and parts of quantised weights.
    notes : tuple of str
        Remarks on the files: a wrong total size in the index, ignored files, weights that are not
        split.
    uncut : mapping of str to str
        Fused weights that are not split, and matrices that are not cut into heads, with the reason.
    configuration : Configuration
        The settings of the model; empty without a config.json.
    reading : str
        File mode for reading matrices; see :mod:`sigmascope._host.files`.
    origin : Origin
        Paths and options, the argument of :func:`reopened`.
    """

    def __init__(
        self, path: Place, files: Files, origin: Origin, config: Configuration | None = None
    ) -> None:
        self.path = path
        self.reading = origin.reading
        self.origin = origin
        self._stored = [header.stored for header in files.headers]
        kept = () if self.in_memory else files.headers
        self.files: tuple[Place, ...] = tuple(header.path for header in kept)
        ranks = [
            {entry.name: Located(header, entry) for header in rank for entry in header.entries}
            for rank in files.ranks
        ]
        check_ranks(ranks)
        self._pieces = {name: tuple(rank[name] for rank in ranks) for name in ranks[0]}
        config = config or stored_configuration(files.folder, files.settings)
        self.configuration, self.architecture = config, config.architecture
        assembly = assembled(ranks, config, origin)
        self._readings, self._views = assembly.readings, assembly.views
        self.notes: tuple[str, ...] = files.notes + assembly.notes
        self.roles: Mapping[str, Role] = MappingProxyType(assembly.roles)
        self.unreadable: Mapping[str, str] = MappingProxyType(assembly.unreadable)
        self.uncut: Mapping[str, str] = MappingProxyType(assembly.uncut)

    def __getitem__(self, name: str) -> Matrix:
        """Read the scales of a matrix, check that its file is unchanged, and return the matrix.

        Raises
        ------
        KeyError
            There is no such tensor, or it is not a matrix. The message gives the reason.
        CheckpointError
            The file changed since the checkpoint was opened, or a scale is not finite.
        """
        if name not in self._views:
            reading = self._readings.get(name)
            if reading is None:
                raise KeyError(f"{name!r} is not in {self.path}{similar(name, self._readings)}")
            raise KeyError(f"{name}: {reading.reason or reading.how}")
        return self._views[name].matrix(self.reading)

    def outline(self, name: str) -> Matrix:
        """Return a stand-in for a matrix, for plans and checks: all its scales are 1.

        No scales are read. Only its shape, storage and memory are correct. CheckpointError if the
        file changed since the checkpoint was opened.
        """
        return self._views[name].matrix(HEADERS)

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __contains__(self, name: object) -> bool:
        return name in self._views

    def __repr__(self) -> str:
        return (
            f"<Checkpoint {str(self.path)!r}: {len(self)} matrices, "
            f"{len(self._pieces)} tensors in {len(set(self.files))} files>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        if self.in_memory:
            raise TypeError(f"{self.path} is not in files, so another process cannot open it")
        return reopened, (self.origin,)

    @property
    def in_memory(self) -> bool:
        """True if the tensors are in memory instead of files."""
        return any(isinstance(each, StoredArrays) for each in self._stored)

    def identities(self) -> tuple[FileIdentity, ...]:
        """Return the name, size and digest of every file, or of the tensors in memory.

        A file that can no longer be read has size 0 and no digest.
        """
        return tuple(map(_identity, self._stored, self.files or (None,)))

    @property
    def sources(self) -> tuple[ByteSource, ...]:
        """The sources of remote and virtual files, in the order of `files`."""
        return tuple(each.source for each in self._stored if isinstance(each, StoredSource))

    def stop_reading(self) -> None:
        """End the remote reads of other threads with an error."""
        for source in self.sources:
            source.stop()

    def info(self) -> list[TensorRecord]:
        """Return one record for every stored tensor, in file order; see `TensorRecord`."""
        return [self._record(name) for name in self._pieces]

    @property
    def choices(self) -> dict[str, object]:
        """Options that change the rows of a scan: `heads`, `circuits`, `rules`."""
        return self.origin.choices

    def view_of(self, name: str) -> View:
        """Return the view of one matrix: its extents in files, and the part that is cut out."""
        return self._views[name]

    def elements(self, name: str) -> Elements | None:
        """Return the elements of a stored tensor, which check its file when they are read.

        Return None for an entry that is empty, is not a tensor, is a second name of another
        tensor, or is not decoded. Codes of fp8 with scales are not decoded: they are numbers
        only together with their scales.
        """
        reading, pieces = self._readings[name], self._pieces[name]
        if reading.status in ("unreadable", "other", "empty", "tied"):
            return None
        scaled = any(view.grid[0][0].scaled for view in reading.views)
        if scaled or not is_decoded(pieces[0].entry):
            return None
        return Elements(pieces, self.reading, reading.order)

    def original_of(self, name: str) -> str | None:
        """Return the tensor whose bytes a name shares; None if the bytes are its own."""
        reading = self._readings[name]
        tied = reading.status == "tied"
        return (reading.reason or "").removeprefix(TIED) if tied else None

    def record_of(self, name: str) -> TensorRecord:
        """Return the record of a matrix's tensor, with the role and the bytes of the matrix."""
        view = self._views[name]
        record, role = self._record(view.tensor), self.roles[name]
        record["nbytes"], record["matrices"] = view.nbytes, (name,)
        record["layer"], record["role"] = role.layer, role.role
        record["tower"], record["expert"] = role.tower or None, role.expert
        record["head"] = role.head
        return record

    def shape_of(self, name: str) -> tuple[int, int]:
        """Return the shape of one matrix from the headers."""
        return self._views[name].shape

    def _record(self, name: str) -> TensorRecord:
        pieces, reading, role = self._pieces[name], self._readings[name], self.roles[name]
        header, entry = pieces[0].header, pieces[0].entry
        return TensorRecord(
            name=name,
            dtype=entry.dtype,
            shape=reading.shape or entry.shape,
            nbytes=sum(piece.entry.nbytes for piece in pieces),
            file=path_text(header.path.name),
            offset=entry.offset,
            status=reading.status,
            reason=reading.reason,
            view=reading.how,
            matrices=tuple(view.name for view in reading.views),
            layer=role.layer,
            role=role.role,
            tower=role.tower or None,
            expert=role.expert,
            head=role.head,
        )


def _identity(stored: Stored, path: Place | None) -> FileIdentity:
    try:
        return stored.identity()
    except CheckpointError:  # the rows of its tensors will have the error
        return FileIdentity(name=path_text("" if path is None else path.name), size=0, digest="")


def reopened(origin: Origin) -> Checkpoint:
    """Open a checkpoint again with the same paths and options, possibly in another process."""
    paths = origin.paths
    files = read_ranks(paths) if len(paths) > 1 else read_files(paths[0], origin.variant)
    return Checkpoint(shown_path(paths[0], paths[0]), files, origin)
