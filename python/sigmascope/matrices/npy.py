# SPDX-License-Identifier: BSD-3-Clause
"""Headers of .npy files."""

from __future__ import annotations

import io
import os
import warnings
from typing import Any, NamedTuple

import numpy as np

from sigmascope._host.formats import LOOK, recognised
from sigmascope._host.limits import MAX_DIMENSIONS, MAX_NPY_HEADER
from sigmascope.errors import CheckpointError

MAGIC = b"\x93NUMPY"

_CHECKPOINTS = (
    *(".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".index.json", ".onnx"),
    *(".distcp", ".msgpack", ".h5", ".hdf5", ".keras"),
)
"""Suffixes of files that hold many tensors."""


class NpyHeader(NamedTuple):
    """The header of a .npy file: shape, order and dtype, and the byte where the numbers begin."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int


def check_npy_name(path: str) -> None:
    """Raise TypeError, with the call to use, if the name belongs to a file of many arrays."""
    what = f"{path} is not a .npy file of one array"
    if path.endswith(_CHECKPOINTS) or os.path.isdir(path):
        raise TypeError(
            f"{what} but a checkpoint of many: open_checkpoint({path!r})[name] is one of its "
            f"matrices, scan({path!r}) analyses all of them"
        )
    if path.endswith(".npz"):
        raise TypeError(f"{what} but an archive of several: matrix(np.load({path!r})[name])")


def _check_length(start: bytes) -> None:
    """Raise ValueError if the stated length of a header is above the limit, before it is read."""
    length = int.from_bytes(start[8 : 10 if start[6:7] == b"\x01" else 12], "little")
    if length > MAX_NPY_HEADER:
        raise ValueError(f"a header of {length} bytes, above the limit of {MAX_NPY_HEADER}")


def read_npy_header(file: io.RawIOBase, path: str | os.PathLike[str]) -> NpyHeader:
    """Read the header at the start of a file; nothing in it is executed, and no numbers are read.

    Raises
    ------
    CheckpointError
        If it is not a .npy file, or holds records. The message names the format if it is known.
    """
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    name = os.fspath(path)
    start = file.read(LOOK) or b""
    file.seek(0)
    if not start.startswith(MAGIC):
        what = recognised(start) or f"it begins with {start[:8]!r}, not with {MAGIC!r}"
        raise CheckpointError(
            f"{name} is not a readable .npy file: {what} (if it is a checkpoint of many "
            f"matrices, open_checkpoint({name!r})[name] is one of them)"
        )
    try:
        _check_length(start)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error"
            )  # NumPy warns of headers that Python 2 wrote, and of old names
            version = np.lib.format.read_magic(file)
            if version not in readers:
                major, minor = version
                raise ValueError(f"version {major}.{minor} is for records, which are not supported")
            shape, fortran, dtype = readers[version](file)
    except OSError:
        raise
    except Exception as error:  # a header is a Python literal: parsing it may raise anything
        raise CheckpointError(
            f"{name} is not a readable .npy file: {str(error) or type(error).__name__:.200}"
        ) from None
    if min(shape, default=0) < 0:
        raise CheckpointError(f"{name}: shape {list(shape)} holds a negative size")
    if len(shape) > MAX_DIMENSIONS:
        raise CheckpointError(
            f"{name}: {len(shape)} dimensions, above the limit of {MAX_DIMENSIONS}"
        )
    return NpyHeader(tuple(map(int, shape)), bool(fortran), dtype, file.tell())
