# SPDX-License-Identifier: BSD-3-Clause
"""Arrays and tensors in memory, as the tensors of a virtual file whose bytes are not moved.

Each array has a place in the virtual file, in the order of the mapping. Arrays that share their
memory, such as tied weights, share one place. An array is copied only if a file could not hold it
as it is: if neither its rows nor its columns are contiguous, or its bytes are in the other order.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope.matrices.array_libraries import PLAIN_TENSORS
from sigmascope.matrices.device_bytes import DeviceBytes
from sigmascope.matrices.dtypes import ITEMSIZE, PACKED
from sigmascope.matrices.refusals import dtype_name, refusal

from .entries import Header, TensorEntry
from .identity import FileIdentity

if TYPE_CHECKING:
    from sigmascope.matrices.groups import GroupCodes
    from sigmascope.matrices.matrix import Matrix

_BITS = {"float": (64, 32, 16), "int": (64, 32, 16, 8), "uint": (64, 32, 16, 8)}
DTYPE_NAMES = {
    f"{kind}{bits}": f"{kind[0].upper()}{bits}" for kind in _BITS for bits in _BITS[kind]
}
DTYPE_NAMES |= {"bool": "BOOL", "bfloat16": "BF16", "complex64": "C64", "complex128": "C128"}
DTYPE_NAMES |= {
    f"float8_{kind}": f"F8_{name}"
    for kind, name in (
        *(("e4m3fn", "E4M3"), ("e5m2", "E5M2"), ("e8m0fnu", "E8M0")),
        *(("e4m3fnuz", "E4M3FNUZ"), ("e5m2fnuz", "E5M2FNUZ")),
    )
}
"""Names of dtypes in the safetensors format by those of NumPy, ml_dtypes and torch."""

_SAMPLES, _SAMPLE = 8, 512


class Block(NamedTuple):
    """The bytes of an array: their place in the virtual file and in memory, and their owner."""

    offset: int
    address: int
    nbytes: int
    owner: object


@dataclass(frozen=True, slots=True)
class StoredArrays:
    """The arrays of a mapping, as the bytes of a virtual file.

    `described` lists names, dtypes, shapes and places of the tensors.
    """

    blocks: tuple[Block, ...] = field(repr=False)
    described: str = field(repr=False)

    @property
    def size(self) -> int:
        """Number of bytes of all arrays."""
        return sum(block.nbytes for block in self.blocks)

    def check_unchanged(self) -> None:
        """Do nothing: changes of arrays in memory are not detected."""

    def read(self, offset: int, count: int, reading: str) -> memoryview:
        """Return bytes of one array, without a copy unless they are on a device."""
        block = self._block(offset)
        if isinstance(block.owner, DeviceBytes):
            return block.owner.read(offset - block.offset, count).data
        address = block.address + offset - block.offset
        return memoryview((ctypes.c_ubyte * count).from_address(address)).cast("B")

    def mapped(self, offset: int, count: int) -> NDArray[np.uint8]:
        """Return bytes of one array, without a copy."""
        return np.frombuffer(self.read(offset, count, ""), np.uint8)

    def matrix(
        self, offset: int, shape: tuple[int, int], dtype: str, reading: str, **how: Any
    ) -> Matrix:
        """Make a matrix of rows in memory; the array, or its copy from a device, is kept alive."""
        from sigmascope.matrices.sources import tensor_in_memory

        block = self._block(offset)
        if isinstance(block.owner, DeviceBytes):
            count = _span(shape, dtype, how.get("row_stride"))
            copy = block.owner.read(offset - block.offset, count)
            return tensor_in_memory(copy.ctypes.data, copy, shape, dtype, **how)
        address = block.address + offset - block.offset
        return tensor_in_memory(address, block.owner, shape, dtype, **how)

    def grouped(self, offset: int, codes: GroupCodes, reading: str) -> Matrix:
        """Make a matrix of codes in groups; their array is kept alive."""
        from sigmascope.matrices.groups import grouped_in_memory

        stored = self.read(offset, codes.packing.nbytes, "")
        return grouped_in_memory(stored, self._block(offset).owner, codes)

    def identity(self) -> FileIdentity:
        """Return the identity of the arrays: a digest of names, dtypes, shapes and samples."""
        digest = sha256(self.described.encode())
        for block in self.blocks:
            for sample in range(_SAMPLES):
                first = max(block.nbytes - _SAMPLE, 0) * sample // (_SAMPLES - 1)
                count = min(_SAMPLE, block.nbytes)
                digest.update(self.read(block.offset + first, count, ""))
        return FileIdentity(name="memory", size=self.size, digest=digest.hexdigest())

    def _block(self, offset: int) -> Block:
        return self.blocks[bisect_right(self.blocks, offset, key=lambda block: block.offset) - 1]


class _Stored(NamedTuple):
    """An array as it lies in memory; `strides` in elements, None for C order."""

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    address: int
    nbytes: int
    owner: object


def memory_header(tensors: Mapping[str, Any], label: str) -> Header:
    """Make the header of a mapping from names to arrays; any other entry gets a reason.

    Raises
    ------
    TypeError
        A name is not text.
    """
    entries: list[TensorEntry] = []
    blocks: list[Block] = []
    places: dict[tuple[int, int], int] = {}
    end = 0
    for name, value in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"the names of tensors must be strings, not {name!r}")
        stored = _stored(value)
        if isinstance(stored, str):
            kind = type(value).__name__
            entries.append(TensorEntry(name, kind, (), end, 0, None, stored))
            continue
        offset = places.get((stored.address, stored.nbytes), end)
        if offset == end and stored.nbytes:
            places[stored.address, stored.nbytes] = end
            blocks.append(Block(end, stored.address, stored.nbytes, stored.owner))
            end += stored.nbytes
        entries.append(
            TensorEntry(name, stored.dtype, stored.shape, offset, stored.nbytes, stored.strides)
        )
    described = "".join(repr((e.name, e.dtype, e.shape, e.offset)) for e in entries)
    return Header(Path(label), tuple(entries), {}, StoredArrays(tuple(blocks), described))


def _stored(value: Any) -> _Stored | str:
    """Return an array as it lies in memory, or the reason why it is not an array."""
    from sigmascope.matrices.device_arrays import COPIED, lies_on_device
    from sigmascope.matrices.matrix import Matrix

    if isinstance(value, DeviceBytes):
        dtype = DTYPE_NAMES.get(value.dtype, value.dtype.upper())
        return _Stored(dtype, value.shape, None, value.address, value.nbytes, value)
    kind = type(value).__name__
    if isinstance(value, Matrix):
        return "a Matrix of this package; np.asarray(x) is an array"
    if reason := refusal(value):
        return reason
    if lies_on_device(value):
        return f"a {kind} on a GPU; {COPIED}"
    if "torch" in {base.__module__.partition(".")[0] for base in type(value).__mro__}:
        if type(value).__module__.partition(".")[0] != "torch" or kind not in PLAIN_TENSORS:
            return (
                f"a {kind} of torch may store its numbers elsewhere; convert it to a plain Tensor"
            )
        return _of_torch(value)
    return _of_array(value, kind)


def _of_torch(value: Any) -> _Stored:
    from sigmascope.matrices.device_arrays import detached

    tensor = detached(value)
    columns = tensor.dim() == 2 and tensor.t().is_contiguous() and not _scaled(tensor)
    if not tensor.is_contiguous() and not columns:
        tensor = tensor.contiguous()
    name, nbytes = dtype_name(tensor), tensor.numel() * tensor.element_size()
    shape = tuple(tensor.shape)
    strides = None if tensor.is_contiguous() else (1, shape[0])
    dtype = DTYPE_NAMES.get(name, name.upper())
    return _Stored(dtype, shape, strides, int(tensor.data_ptr()), int(nbytes), tensor)


def _of_array(value: Any, kind: str) -> _Stored | str:
    from sigmascope.matrices.refusals import MASKED
    from sigmascope.matrices.tables import is_frame, table_array

    if np.ma.is_masked(value):
        return MASKED
    try:
        array = np.asarray(table_array(value) if is_frame(value) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        return f"a {kind} cannot be converted to an array: {error}"
    if array.dtype.kind not in "fiubcV" or array.dtype.type is np.void:
        return f"a {kind} of {array.dtype} holds no numbers"
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    columns = array.ndim == 2 and array.flags.f_contiguous and not _scaled(array)
    if not array.flags.c_contiguous and not columns:
        array = np.ascontiguousarray(array)
    strides = None if array.flags.c_contiguous else (1, array.shape[0])
    dtype = DTYPE_NAMES.get(array.dtype.name, array.dtype.name.upper())
    return _Stored(dtype, array.shape, strides, array.ctypes.data, array.nbytes, array)


def _span(shape: tuple[int, int], dtype: str, row_stride: int | None) -> int:
    """Return the number of bytes from the first to the last one of some rows."""
    m, n = shape
    row = n // PACKED[dtype] if dtype in PACKED else n * ITEMSIZE[dtype]
    return (m - 1) * (row_stride or row) + row


def _scaled(array: Any) -> bool:
    """Return whether an array holds codes of 8 bits, whose scales are given row by row."""
    return dtype_name(array).startswith("float8")
