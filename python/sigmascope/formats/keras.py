# SPDX-License-Identifier: BSD-3-Clause
"""Archives of Keras, which contain an HDF5 file, and the axes of its weights (inputs first).

The names of variables and layers determine the axes. Keras 2 names its variables
(`dense/kernel:0`). Keras 3 numbers them in the folder of their layer (`layers/dense/vars/0`), which
has the name of its class unless the program names it.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

from sigmascope.errors import CheckpointError
from sigmascope.extension.readers import FilePart, brief, described, first_member, start_of

MAGIC = b"\x89HDF\r\n\x1a\n"
_INNER = "model.weights.h5"
_FIRST_MEMBERS = (b"metadata.json", b"config.json")
"""Names of the file that Keras writes first in an archive."""

_KERNEL = re.compile(
    r"(?:^|/)(?P<layer>[^/]*)/(?:(?:recurrent_|pointwise_)?kernel(?::0)?|(?:cell/)?vars/[01])$"
)
_NUMBERED = re.compile(r"/vars/[01]$")
_DENSE = re.compile(r"(?:dense|(?:lstm|gru|rnn)(?:_cell)?|cell)(?:_\d+)?$")
_OF_HEADS = {"query": "ioo", "key": "ioo", "value": "ioo", "attention_output": "iio"}


def axes_of(name: str, count: int) -> str:
    """Return a letter for each axis of a weight, as in `arrays_of_axes`; "" if not known.

    Examples
    --------
    >>> axes_of("dense/dense/kernel:0", 2), axes_of("layers/conv2d_1/vars/0", 4)
    ('io', 'ssio')
    >>> axes_of("layers/embedding/vars/0", 2)
    ''
    """
    match = _KERNEL.search(name)
    if match is None or not 2 <= count <= 5:
        return ""
    layer, numbered = match["layer"], _NUMBERED.search(name) is not None
    if count == 2:
        return "io" if not numbered or _DENSE.search(layer) else ""
    if count == 3 and layer in _OF_HEADS:
        return _OF_HEADS[layer]
    convolution = "conv" in layer and "depthwise" not in layer
    if not convolution and (numbered or count == 3):
        return ""
    return "s" * (count - 2) + "io"  # a transposed one has outputs first, as that of torch has


def begins_as_hdf5(start: bytes) -> bool:
    """Return whether a file begins like an HDF5 file or a Keras archive."""
    return start.startswith(MAGIC) or first_member(start) in _FIRST_MEMBERS


def hdf5_part(file: io.RawIOBase, size: int) -> tuple[io.RawIOBase, int, int]:
    """Return an HDF5 file with its place: the whole file, or a part of a Keras archive."""
    start = start_of(file)
    if start.startswith(MAGIC):
        return _Part(file, 0, size), 0, size
    if not begins_as_hdf5(start):
        raise CheckpointError(f"not an HDF5 file but {described(start)}")
    with zipfile.ZipFile(FilePart(file, 0, size)) as archive:
        names = [name for name in archive.namelist() if name.endswith(_INNER)]
        if len(names) != 1:
            raise CheckpointError(f"a Keras archive with {len(names)} files {_INNER}, not one")
        info = archive.getinfo(names[0])
    if info.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(
            f"{brief(names[0], 200)} is compressed: unpack it and open the result"
        )
    file.seek(info.header_offset + 26)
    lengths = file.read(4) or b""
    begin = (
        info.header_offset + 30 + sum(int.from_bytes(lengths[k : k + 2], "little") for k in (0, 2))
    )
    if begin + info.file_size > size:
        raise CheckpointError(
            f"{brief(names[0], 200)} reaches byte {begin + info.file_size} of {size}"
        )
    return _Part(file, begin, info.file_size), begin, info.file_size


class _Part(FilePart):
    """A part of a file, as a file object for h5py."""

    def readinto(self, memory: Any) -> int:
        """Read into memory, and return the number of bytes."""
        raw = self.read(len(memory)) if self._position < self._size else b""
        memory[: len(raw)] = raw
        return len(raw)
