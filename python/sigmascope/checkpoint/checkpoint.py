# SPDX-License-Identifier: BSD-3-Clause
"""A checkpoint as a mapping from tensor names to matrices, every tensor accounted for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sigmascope._display.text import path_text
from sigmascope._host.files import check_reading
from sigmascope._host.keywords import public

from .assembly import Origin, assembled
from .configuration import Configuration, stored_configuration
from .elements import Elements, is_decoded
from .formats.files import Files, read_files, read_ranks
from .formats.identity import FileIdentity
from .formats.memory import MemoryHeader
from .naming.roles import Role
from .naming.table import Source, read_table
from .quantised.layouts import TIED
from .ranks import check_ranks
from .record import TensorRecord
from .tensors import HasStateDict, Tensors, configuration_of, label_of, read_tensors
from .views import Located, View

if TYPE_CHECKING:
    from sigmascope.matrices.matrix import Matrix

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Checkpoint(Mapping[str, "Matrix"]):
    """The matrices of a checkpoint by name, in file order.

    Slices of a stacked tensor are named `name[0]`, `name[1]` and so on, parts of a fused one
    `name[q]`, `name[k]`, `name[v]`, `name[gate]` and `name[up]`, heads `name[head 0]` and so on.
    Opening reads headers only; a matrix reads its data when it is used, and its scales when it is
    looked up. It is made by `open_checkpoint`; a pickle holds the paths, which are opened again.

    Attributes
    ----------
    path : Path
        The path that was opened.
    files : tuple of Path
        Files, in the order of their names, rank after rank; none of tensors in memory.
    architecture : str or None
        The model's class or type as config.json names it: "LlamaForCausalLM".
    roles : mapping of str to Role
        The role of every matrix and of every stored tensor.
    unreadable : mapping of str to str
        Weights that cannot be analysed, with the reason. Vectors, scalars, integers and parts
        of quantised weights are not among them: see `info()`.
    notes : tuple of str
        Remarks on the files: a wrong total size in the index, ignored files, weights that are not
        split.
    reading : str
        File mode for reading matrices; see :mod:`sigmascope._host.files`.
    origin : Origin
        Paths and options, the argument of :func:`reopened`.
    """

    def __init__(
        self, path: Path, files: Files, origin: Origin, config: Configuration | None = None
    ) -> None:
        self.path = path
        self.reading = origin.reading
        self.origin = origin
        self._memory = [each for each in files.headers if isinstance(each, MemoryHeader)]
        stored = () if self._memory else files.headers
        self.files: tuple[Path, ...] = tuple(header.path for header in stored)
        ranks = [
            {entry.name: Located(header, entry) for header in rank for entry in header.entries}
            for rank in files.ranks
        ]
        check_ranks(ranks)
        self._pieces = {name: tuple(rank[name] for rank in ranks) for name in ranks[0]}
        config = config or stored_configuration(files.folder, files.settings)
        self.architecture = config.architecture
        found = assembled(ranks, config, origin)
        self._readings, self._views = found.readings, found.views
        self.notes: tuple[str, ...] = files.notes + found.notes
        self.roles: Mapping[str, Role] = MappingProxyType(found.roles)
        self.unreadable: Mapping[str, str] = MappingProxyType(found.unreadable)

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
        if self.in_memory:
            raise TypeError(f"{self.path} is in no file that another process could open")
        return reopened, (self.origin,)

    @property
    def in_memory(self) -> bool:
        """True if the tensors are in memory, and in no file."""
        return bool(self._memory)

    def memory_identities(self) -> tuple[FileIdentity, ...]:
        """Return the identity of tensors in memory, as :func:`file_identity` of a file."""
        return tuple(each.identity() for each in self._memory)

    def info(self) -> list[TensorRecord]:
        """Return one record for every stored tensor, in file order; see `TensorRecord`."""
        return [self._record(name) for name in self._pieces]

    @property
    def choices(self) -> dict[str, object]:
        """Options that change the rows of a scan: `heads`, `rules`."""
        return self.origin.choices

    def view_of(self, name: str) -> View:
        """Return the view of one matrix: its extents in files, and the part that is cut out."""
        return self._views[name]

    def elements(self, name: str) -> Elements | None:
        """Return the elements of a stored tensor; its file is checked while they are read.

        None for an entry that is no tensor, is empty, is a second name of another tensor, or is not
        decoded, as fp8 codes with scales, which are numbers only together with them.
        """
        reading, pieces = self._readings[name], self._pieces[name]
        if reading.status in ("unreadable", "other", "empty", "tied"):
            return None
        scaled = any(view.grid[0][0].scale is not None for view in reading.views)
        if scaled or not is_decoded(pieces[0].entry):
            return None
        return Elements(pieces, self.reading, reading.order)

    def original_of(self, name: str) -> str | None:
        """Return the tensor that shares its bytes under another name; None if there is none."""
        reading = self._readings[name]
        tied = reading.status == "tied"
        return (reading.reason or "").removeprefix(TIED) if tied else None

    def record_of(self, name: str) -> TensorRecord:
        """Return the record of the tensor of a matrix, with role and bytes of the matrix."""
        view = self._views[name]
        record, role = self._record(view.tensor), self.roles[name]
        record["nbytes"], record["matrices"] = view.nbytes, (name,)
        record["layer"], record["role"] = role.layer, role.role
        record["tower"], record["expert"] = role.tower, role.expert
        record["head"] = role.head
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
            file=path_text(header.path.name),
            offset=entry.offset,
            status=reading.status,
            reason=reading.reason,
            view=reading.how,
            matrices=tuple(view.name for view in reading.views),
            layer=role.layer,
            role=role.role,
            tower=role.tower,
            expert=role.expert,
            head=role.head,
        )


@public
def open_checkpoint(
    path: Paths | Tensors,
    *,
    split_fused: bool = True,
    heads: bool = False,
    rules: Source | None = None,
    reading: str = "buffered",
    variant: str | None = None,
) -> Checkpoint:
    """Open a checkpoint; reads and validates headers, never tensor data.

    Parameters
    ----------
    path : path-like, sequence of path-like, mapping, or module of torch
        A `.safetensors` file, a file that PyTorch saved (`.bin`, `.pt`, `.pth`, `.ckpt`; its pickle
        is parsed, never run), a `.gguf` file (a shard stands for all), a `.npy` file, an index of
        shards, or a folder with any of these: safetensors if there are any, else PyTorch's, else
        GGUF, else `.npy` files. Without an index a folder is read as its `model.safetensors` or
        `pytorch_model.bin`, or else as all files of its kind. The folder of a model in the cache of
        the Hub stands for the revision that refs/main names.

        A sequence gives the ranks of tensor parallelism in their order, each a path that holds a
        piece of every matrix; files `consolidated.00.pth` and so on in a folder are recognised as
        ranks. The role of a tensor decides along which axis its pieces are joined.

        A mapping holds arrays or tensors in memory by name, as a state dict does; they are used
        where they are. A module stands for its state dict, with the settings of its `config`.
    split_fused : bool
        Read q, k and v, or gate and up, out of one fused weight, where config.json names a model
        whose layout is known; a note names those that are not split, and the reason. If False, no
        weight is split.
    heads : bool
        Cut q, k, v and o into their attention heads, each a matrix: rows of q, k and v, columns of
        o. Their number and width come from config.json; a note names the weights that are not cut,
        and the reason.
    rules : path-like or mapping, optional
        Rules for roles, tried before those of this package: a `.toml` or `.json` file, or its
        contents; see docs/roles.md.
    reading : str
        File mode: "buffered", "uncached" (no data stay in the page cache) or "mapped"; see
        :mod:`sigmascope._host.files`. No result depends on it.
    variant : str, optional
        Variant of the weights in a folder that has several: "fp16" for `name.fp16.safetensors` next
        to `name.safetensors`. Default: the files without a variant.

    Returns
    -------
    Checkpoint
        A mapping from names to matrices. Memory is a small multiple of the headers.

    Raises
    ------
    CheckpointError
        A file, the index, the rules or the folder is not what it claims to be. One bad shard makes
        the call fail; the message names file and tensor, and the values that disagree.
    ValueError
        There is no such `reading`.

    See Also
    --------
    open_adapter : An adapter, whose matrices are products of two thin ones.
    scan : The spectrum of every matrix.
    matrix : One matrix.

    Examples
    --------
    >>> checkpoint = open_checkpoint("model/")                          # doctest: +SKIP
    >>> matrix = checkpoint["model.layers.0.mlp.up_proj.weight"]        # doctest: +SKIP
    """
    alone = isinstance(path, str | os.PathLike)
    table = None if rules is None else read_table(rules)
    if isinstance(path, Mapping | HasStateDict):
        files = read_tensors(path)
        origin = Origin((), split_fused, heads, table, check_reading(reading))
        return Checkpoint(label_of(files), files, origin, configuration_of(path))
    paths = (path,) if isinstance(path, str | os.PathLike) else tuple(path)
    origin = Origin(
        tuple(os.path.abspath(each) for each in paths),
        split_fused,
        heads,
        table,
        check_reading(reading),
        variant,
    )
    files = read_files(paths[0], variant) if alone else read_ranks(paths)
    return Checkpoint(Path(paths[0]), files, origin)


def reopened(origin: Origin) -> Checkpoint:
    """Open a checkpoint again with the same paths and options, possibly in another process."""
    paths = origin.paths
    files = read_ranks(paths) if len(paths) > 1 else read_files(paths[0], origin.variant)
    return Checkpoint(Path(paths[0]), files, origin)
