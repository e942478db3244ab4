# SPDX-License-Identifier: BSD-3-Clause
"""Numbers that an ONNX model stores as varints, decoded when they are used.

These are integers and booleans in int32_data, int64_data and uint64_data, and the codes of floats
of 8 and 16 bits in int32_data. Two codes of 4 bits are one number. Exporters write raw_data;
helpers for small models write varints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope.errors import CheckpointError
from sigmascope.extension.readers import DTYPE_BITS, Stored, VirtualFile, brief

_AT_ONCE = 1 << 18
_LONGEST = 10


class PackedNumbers(NamedTuple):
    """A tensor: `nbytes` of numbers, coded in `stored` bytes that begin at byte `start`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    start: int
    stored: int


class VarintNumbers(VirtualFile):
    """Tensors of one model; the most recently read tensor stays in memory."""

    def __init__(self, name: str, stored: Stored, packed: Sequence[PackedNumbers]) -> None:
        super().__init__(name, [each.nbytes for each in packed])
        self._stored, self._packed = stored, tuple(packed)
        self._last: tuple[int, bytes] = (-1, b"")

    def __getstate__(self) -> tuple[str, Stored, tuple[PackedNumbers, ...]]:
        return self.name, self._stored, self._packed

    def __setstate__(self, state: tuple[str, Stored, tuple[PackedNumbers, ...]]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def identity(self) -> str:
        """Return the digest of the file."""
        return self._stored.identity()["digest"]

    def copy(self, index: int, start: int, memory: memoryview) -> None:
        """Decode a tensor, and copy bytes of it."""
        self._stored.check_unchanged()
        kept, numbers = self._last
        if kept != index:
            numbers = self._decoded(self._packed[index])
            self._stored.check_unchanged()
            self._last = index, numbers
        memory[:] = numbers[start : start + memory.nbytes]

    def _decoded(self, packed: PackedNumbers) -> bytes:
        raw = np.frombuffer(self._stored.read(packed.start, packed.stored, "buffered"), np.uint8)
        where = f"{self.name}: tensor {brief(packed.name, 200)}"
        size = max(DTYPE_BITS.get(packed.dtype, 8), 8) // 8
        count = packed.nbytes // size
        total = np.count_nonzero(raw < 128)
        if total != count or (raw.size and raw[-1] > 127):
            raise CheckpointError(f"{where}: {total} numbers, but its shape has {count}")
        parts: list[bytes] = []
        while raw.size:
            ends = np.flatnonzero(raw[:_AT_ONCE] < 128)
            if not ends.size:
                raise CheckpointError(f"{where}: a number of more than 64 bits")
            values = _values(raw[: ends[-1] + 1], ends, where)
            _check_range(values, packed.dtype, where)
            parts.append(values.astype(f"<u{size}").tobytes())
            raw = raw[ends[-1] + 1 :]
        return b"".join(parts)


def _values(raw: NDArray[np.uint8], ends: NDArray[np.intp], where: str) -> NDArray[np.uint64]:
    """Decode whole numbers that end at the bytes `ends`."""
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    place = np.arange(raw.size) - np.repeat(starts, lengths)
    if lengths.max() > _LONGEST or np.any(raw[place == _LONGEST - 1] > 1):
        raise CheckpointError(f"{where}: a number of more than 64 bits")
    shifted = (raw & 127).astype(np.uint64) << (7 * place).astype(np.uint64)
    values: NDArray[np.uint64] = np.add.reduceat(shifted, starts)
    return values


def _check_range(values: NDArray[np.uint64], dtype: str, where: str) -> None:
    """Raise CheckpointError for a number outside the range of the dtype."""
    bits = DTYPE_BITS.get(dtype, 8)
    if bits == 64:
        return
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dtype[0] == "I" else (0, 2**bits - 1)
    if dtype not in DTYPE_BITS or bits < 8:
        least, most = 0, 255  # two codes or more
    if dtype == "BOOL":
        most = 1
    numbers = values.view(np.int64)
    outside = numbers[(numbers < least) | (numbers > most)]
    if outside.size:
        raise CheckpointError(f"{where}: the number {outside[0]}, which {dtype} does not have")
