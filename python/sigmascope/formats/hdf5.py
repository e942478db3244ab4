# SPDX-License-Identifier: BSD-3-Clause
"""Datasets of HDF5 files, and of Keras archives, which contain such a file.

The extra ``hdf5`` installs h5py, which reads the tree of groups. A contiguous dataset in the byte
order of this machine is one piece of the file, and is read like a tensor of a safetensors file. All
others (chunked, compressed, big-endian, or with floats of unusual sizes) form a virtual file: h5py
reads and converts the boxes that a range intersects. Links to other files are not followed.

The HDF5 library is written in C and parses the bytes of the file: open files that you trust.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from math import prod
from typing import Any, NamedTuple

import numpy as np

from sigmascope.checkpoint import Header, Reader, TensorEntry, Usage, opened
from sigmascope.errors import CheckpointError
from sigmascope.extension.readers import (
    DTYPE_NAMES,
    MAX_DIMENSIONS,
    MAX_NESTING,
    MAX_SIZE,
    MAX_TENSORS,
    Place,
    Stored,
    StoredSource,
    VirtualArrays,
    brief,
    joined,
)

from .keras import axes_of, begins_as_hdf5, hdf5_part

_WEIGHTS = "model_weights"
"""Group of the weights in a file of a whole Keras 2 model, next to the optimiser's groups."""


class _Dataset(NamedTuple):
    """A dataset of numbers: name, path in the file, shape, dtype, and its place if contiguous."""

    name: str
    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int | None

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return prod(self.shape) * self.dtype.itemsize

    def entry(self, offset: int) -> TensorEntry:
        """Make the entry of the dataset, whose first byte is given."""
        dtype = DTYPE_NAMES[self.dtype.name]
        usage = Usage(axes=axes_of(self.name, len(self.shape)), program="Keras")
        return TensorEntry(self.name, dtype, self.shape, offset, self.nbytes, usage=usage)


def read_hdf5(path: Place) -> tuple[Header, ...]:
    """Read the tree of an HDF5 file, without numbers.

    Names are the paths of datasets, without the group `model_weights` of a whole model of Keras.

    Raises
    ------
    CheckpointError
        The file is not an HDF5 file, is damaged, or exceeds a limit.
    ImportError
        h5py is not installed.
    """
    library = _h5py()
    with opened(path) as (file, stored):
        try:
            part, start, size = hdf5_part(file, stored.size)
            with library.File(part, "r") as tree:
                walk = _Walk(library, tree, size)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
        except _BROKEN as error:
            raise CheckpointError(f"{path}: not a readable HDF5 file: {error!s:.200}") from None
    whole = [each for each in walk.datasets if each.offset is not None]
    entries = sorted((each.entry(start + (each.offset or 0)) for each in whole), key=_place)
    notes = (f"{path.name}: the tensors of {walk.wrapper!r}, named without it",) * bool(
        walk.wrapper
    )
    headers = [Header(path, (*entries, *walk.foreign), {}, stored, notes)]
    if pieces := [each for each in walk.datasets if each.offset is None]:
        source = Hdf5Datasets(path, stored, pieces)
        made = tuple(map(_Dataset.entry, pieces, source.starts))
        headers.append(Header(path, made, {}, StoredSource(source, path.name)))
    return tuple(headers)


def _place(entry: TensorEntry) -> int:
    return entry.offset


_BROKEN = (
    *(OSError, RuntimeError, ValueError, LookupError, TypeError, OverflowError, MemoryError),
    *(zipfile.BadZipFile, EOFError, NotImplementedError, struct.error),
)
"""Exceptions that h5py and zipfile raise for damaged files."""


def _h5py() -> Any:
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise ImportError("HDF5 files are read by h5py: pip install 'sigmascope[hdf5]'") from error
    return h5py


class _Walk:
    """The datasets of a file, found by its hard links; each group is visited once."""

    def __init__(self, library: Any, tree: Any, size: int) -> None:
        self._library, self._size = library, size
        self.datasets: list[_Dataset] = []
        self.foreign: list[TensorEntry] = []
        whole = _WEIGHTS in tree and isinstance(tree[_WEIGHTS], library.Group)
        self.wrapper = _WEIGHTS if whole else None
        visited = {tree.id}
        pending = [("", "", tree, 0)]
        while pending:
            above, where, group, depth = pending.pop()
            for key in group:
                member = self._member(above, where, group, key, depth)
                if member is not None and member[2].id not in visited:
                    visited.add(member[2].id)
                    pending.append(member)

    def _member(
        self, above: str, where: str, group: Any, key: str, depth: int
    ) -> tuple[str, str, Any, int] | None:
        """Add a member of a group; return it if it is a group to enter."""
        library, path = self._library, f"{where}/{key}"
        name = joined(above, key)
        if depth == MAX_NESTING:
            raise CheckpointError(f"{brief(name, 200)}: in more than {MAX_NESTING} groups")
        if len(self.datasets) + len(self.foreign) >= MAX_TENSORS:
            raise CheckpointError(f"more than {MAX_TENSORS} datasets")
        if not isinstance(group.get(key, getlink=True), library.HardLink):
            self._add_foreign(name, "link", "a link to another place or file, not followed")
            return None
        member = group[key]
        if depth == 0 and self.wrapper and key != self.wrapper:
            self._add_foreign(name, "group", f"next to {self.wrapper!r}, not read")
        elif isinstance(member, library.Group):
            inner = "" if depth == 0 and key == self.wrapper else f"{name}/"
            return inner, path, member, depth + 1
        elif isinstance(member, library.Dataset):
            self._add(name, path, member)
        else:
            self._add_foreign(name, "type", "a data type, not a tensor")
        return None

    def _add_foreign(self, name: str, kind: str, reason: str) -> None:
        self.foreign.append(TensorEntry(name, kind, (), 0, 0, foreign=reason))

    def _add(self, name: str, path: str, dataset: Any) -> None:
        if reason := _unread(self._library, dataset):
            self._add_foreign(name, "dataset", reason)
            return
        dtype = dataset.dtype.newbyteorder("=")
        record = _Dataset(name, path, tuple(map(int, dataset.shape)), dtype, None)
        if len(record.shape) > MAX_DIMENSIONS or record.nbytes > MAX_SIZE:
            shape = brief(list(record.shape))
            raise CheckpointError(
                f"tensor {brief(name, 200)} has shape {shape}, and {record.nbytes} bytes"
            )
        self.datasets.append(record._replace(offset=self._offset(record, dataset)))

    def _offset(self, record: _Dataset, dataset: Any) -> int | None:
        """Return the first byte of a dataset's numbers, if the file stores them unchanged."""
        h5t, offset = self._library.h5t, dataset.id.get_offset()
        same = dataset.id.get_type().equal(h5t.py_create(record.dtype, logical=True))
        plain = dataset.chunks is None and dataset.id.get_create_plist().get_nfilters() == 0
        if offset is None or not same or not plain:
            return None
        if dataset.id.get_storage_size() != record.nbytes or offset + record.nbytes > self._size:
            raise CheckpointError(
                f"tensor {brief(record.name, 200)}: {record.nbytes} bytes from byte {offset} on, "
                f"{dataset.id.get_storage_size()} are stored in a file of {self._size}"
            )
        return int(offset)


def _unread(library: Any, dataset: Any) -> str | None:
    """Return the reason why a dataset is not read; None if it is read."""
    dtype, properties = dataset.dtype, dataset.id.get_create_plist()
    if dataset.shape is None:
        return "a dataset without a shape, not a tensor"
    if dtype.names is not None and dtype.kind == "V":
        return f"a compound dataset of {brief(', '.join(dtype.names), 100)}, not a tensor"
    if dtype.kind not in "fiubc" or dtype.name not in DTYPE_NAMES:
        return f"a dataset of {brief(str(dtype), 60)}, not a tensor"
    if dataset.is_virtual or properties.get_external_count():
        return "a dataset whose numbers are in other files, not read"
    filters = (properties.get_filter(k) for k in range(properties.get_nfilters()))
    for code, _, _, name in filters:
        if not library.h5z.filter_avail(code):
            shown = brief(name.decode(errors="replace"), 60)
            return f"needs the filter {code} {shown}, which h5py lacks: pip install hdf5plugin"
    if prod(dataset.shape) and not dataset.id.get_storage_size():
        return "a dataset that was never written"
    return None


class Hdf5Datasets(VirtualArrays):
    """Datasets of a file that h5py reads and converts.

    Parameters
    ----------
    path : Path or RemotePath
    stored : Stored
        The file, which shows whether it has changed.
    datasets : sequence
        The datasets.
    """

    def __init__(self, path: Place, stored: Stored, datasets: Sequence[_Dataset]) -> None:
        super().__init__(
            str(path), [(each.shape, each.dtype.itemsize) for each in datasets], [stored]
        )
        self._path, self._stored, self._datasets = path, stored, tuple(datasets)
        self._open: list[tuple[Any, ExitStack]] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": []}  # each process opens the file itself

    def identity(self) -> str:
        """Return the digest of the file."""
        return self._stored.identity()["digest"]

    def read_box(self, index: int, where: tuple[int | slice, ...]) -> np.ndarray[Any, Any]:
        """Read and convert a box of a dataset; CheckpointError if it is damaged."""
        dataset = self._datasets[index]
        try:
            numbers: np.ndarray[Any, Any] = self._tree()[dataset.path].astype(dataset.dtype)[where]
        except _BROKEN as error:
            raise CheckpointError(
                f"{self.name}: tensor {brief(dataset.name, 200)} cannot be read: {error!s:.200}"
            ) from None
        return numbers

    def _tree(self) -> Any:
        """Return the root group of the file, which stays open in this process."""
        if not self._open:
            stack = ExitStack()
            file, stored = stack.enter_context(opened(self._path))
            part, _, _ = hdf5_part(file, stored.size)
            self._open.append((stack.enter_context(_h5py().File(part, "r")), stack))
        return self._open[0][0]


READER = Reader(
    "HDF5",
    (".h5", ".hdf5", ".keras"),
    read_hdf5,
    main_file="tf_model.h5",
    begins=begins_as_hdf5,
)
