# SPDX-License-Identifier: BSD-3-Clause
"""Zarr arrays in folders or OCDBT stores, as a virtual file that tensorstore reads.

The extra ``tensorstore`` installs the library. It reads and decodes the chunks that a range of
bytes intersects. A process keeps up to :data:`POOL` bytes of decoded chunks for the next range. A
single chunk may be larger: it is in memory while it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from math import prod
from typing import Any, NamedTuple

import numpy as np

from sigmascope.errors import CheckpointError
from sigmascope.extension.readers import MAX_DIMENSIONS, MAX_SIZE, Stored, VirtualArrays, brief

POOL = 256 << 20
"""Most bytes of decoded chunks that are kept in memory."""

_AT_ONCE = 1000
"""Number of arrays that are opened at the same time."""


class ZarrArray(NamedTuple):
    """An array: name, shape, name of its dtype, bytes of an element, and location.

    tensorstore opens it with `spec`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    itemsize: int
    spec: Mapping[str, Any]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return prod(self.shape) * self.itemsize


def opened_arrays(specs: Mapping[str, Mapping[str, Any]], where: str) -> list[ZarrArray]:
    """Open arrays and return their descriptions, without reading a chunk.

    Parameters
    ----------
    specs : mapping of str to mapping
        The specifications for tensorstore, by the names of the arrays.
    where : str
        Name of the checkpoint, for messages.

    Raises
    ------
    CheckpointError
        An array is missing, damaged, or larger than a file can be.
    ImportError
        tensorstore is not installed.
    """
    library = _tensorstore()
    names, arrays = list(specs), []
    for first in range(0, len(names), _AT_ONCE):
        some = names[first : first + _AT_ONCE]
        opening = [library.open(dict(specs[name]), context=_context(), **_READ) for name in some]
        for name, future in zip(some, opening, strict=True):
            array = _result(future, f"{where}: tensor {brief(name, 200)} cannot be opened")
            dtype = array.dtype.name
            itemsize = array.dtype.numpy_dtype.itemsize
            each = ZarrArray(name, tuple(array.shape), dtype, itemsize, specs[name])
            if len(each.shape) > MAX_DIMENSIONS or each.nbytes > MAX_SIZE:
                shape = brief(list(each.shape))
                raise CheckpointError(
                    f"{where}: tensor {brief(name, 200)} has shape {shape}, and {each.nbytes} bytes"
                )
            arrays.append(each)
    return arrays


class ZarrArrays(VirtualArrays):
    """Arrays whose chunks are decoded when bytes of them are read.

    Parameters
    ----------
    name : str
        Name of the checkpoint in messages.
    arrays : sequence of ZarrArray
    files : sequence of Stored
        Files that show whether the checkpoint has changed.
    """

    def __init__(self, name: str, arrays: Sequence[ZarrArray], files: Sequence[Stored]) -> None:
        super().__init__(name, [(each.shape, each.itemsize) for each in arrays], files)
        self._arrays = tuple(arrays)
        self._opened: dict[int, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": {}}  # each process opens arrays of its own

    def identity(self) -> str:
        """Return a digest of the arrays and of the identities of the files."""
        what = [tuple(each[:3]) for each in self._arrays]
        files = [stored.identity() for stored in self._files]
        return sha256(repr((what, files)).encode()).hexdigest()

    def read_box(self, index: int, where: tuple[int | slice, ...]) -> np.ndarray[Any, Any]:
        """Read and decode a box of an array; CheckpointError if it is missing or damaged."""
        array = self._arrays[index]
        failed = f"{self.name}: tensor {brief(array.name, 200)} cannot be read"
        opened = self._opened.get(index)
        if opened is None:
            future = _tensorstore().open(dict(array.spec), context=_context(), **_READ)
            opened = self._opened[index] = _result(future, failed)
        if (tuple(opened.shape), opened.dtype.name) != (array.shape, array.dtype):
            raise CheckpointError(f"{failed}: it has changed since the checkpoint was opened")
        numbers: np.ndarray[Any, Any] = _result(opened[where].read(), failed)
        return numbers


_READ: Mapping[str, Any] = {"open": True, "read": True}


def _result(future: Any, failed: str) -> Any:
    try:
        return future.result()
    except Exception as error:  # the library may raise anything for a damaged store
        text = str(error).partition(" [source locations")[0]
        raise CheckpointError(f"{failed}: {text}") from error


@cache
def _context() -> Any:
    return _tensorstore().Context({"cache_pool": {"total_bytes_limit": POOL}})


def _tensorstore() -> Any:
    try:
        import tensorstore
    except ModuleNotFoundError as error:
        raise ImportError(
            "orbax checkpoints need tensorstore: pip install 'sigmascope[tensorstore]'"
        ) from error
    return tensorstore
