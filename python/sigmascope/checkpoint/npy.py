# SPDX-License-Identifier: BSD-3-Clause
"""A .npy file as a checkpoint of one tensor, named as the file is."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np

from sigmascope.checkpoint.entries import Header, TensorEntry, opened
from sigmascope.errors import CheckpointError

_NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bool": "BOOL",
    "complex64": "C64",
    "complex128": "C128",
}
_NAMES |= {f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)}
_NAMES |= {f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)}


def read_npy(path: Path) -> Header:
    """Read and validate the header of a .npy file; numbers stay where they are.

    Raises
    ------
    CheckpointError
        It is no .npy file, or is cut short.
    """
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with opened(path) as (file, stamp):
        try:
            version = np.lib.format.read_magic(file)
            if version not in readers:
                raise ValueError(f"version {version[0]}.{version[1]} is for arrays of records")
            shape, fortran, dtype = readers[version](file)
        except (ValueError, EOFError) as error:
            raise CheckpointError(f"{path} is no readable .npy file: {error}") from None
        offset = file.tell()
    if min(shape, default=0) < 0:
        raise CheckpointError(f"{path}: shape {list(shape)} holds a negative size")
    if dtype.kind not in "fiubcV" or dtype.names is not None:
        foreign = f"an array of {dtype}, no tensor"
        return Header(path, (TensorEntry(path.stem, "object", (), 0, 0, None, foreign),), {}, stamp)
    # What ml_dtypes adds is stored without its name: as V2 and V1.
    name = _NAMES.get(dtype.name, dtype.str.lstrip("<|=")) if dtype.isnative else dtype.str
    nbytes = prod(shape) * dtype.itemsize
    if offset + nbytes > stamp.size:
        raise CheckpointError(
            f"{path}: {dtype} {list(shape)} takes {nbytes} bytes from byte {offset} on, "
            f"the file ends at {stamp.size}"
        )
    strides = tuple(prod(shape[:axis]) for axis in range(len(shape))) if fortran else None
    entry = TensorEntry(path.stem, name, tuple(shape), offset, nbytes, strides)
    return Header(path, (entry,), {}, stamp)
