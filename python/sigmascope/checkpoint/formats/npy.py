# SPDX-License-Identifier: BSD-3-Clause
"""A .npy file as a checkpoint of one tensor with the name of the file."""

from __future__ import annotations

from math import prod

from sigmascope.checkpoint.remote.paths import Place
from sigmascope.errors import CheckpointError
from sigmascope.matrices.npy import read_npy_header

from .entries import Header, TensorEntry, opened
from .memory import DTYPE_NAMES


def read_npy(path: Place) -> Header:
    """Read and validate the header of a .npy file, without its numbers.

    Raises
    ------
    CheckpointError
        The file is not a .npy file, or is truncated.
    """
    with opened(path) as (file, stored):
        shape, fortran, dtype, offset = read_npy_header(file, str(path))
    if dtype.kind not in "fiubcV" or dtype.names is not None:
        foreign = f"an array of {dtype}, not a tensor"
        entry = TensorEntry(path.stem, "object", (), 0, 0, None, foreign)
        return Header(path, (entry,), {}, stored)
    # The dtypes of ml_dtypes are stored without their names, as V2 and V1.
    name = DTYPE_NAMES.get(dtype.name, dtype.str.lstrip("<|=")) if dtype.isnative else dtype.str
    nbytes = prod(shape) * dtype.itemsize
    if offset + nbytes > stored.size:
        raise CheckpointError(
            f"{path}: {dtype} {list(shape)} takes {nbytes} bytes from byte {offset} on, "
            f"but the file ends at {stored.size}"
        )
    strides = tuple(prod(shape[:axis]) for axis in range(len(shape))) if fortran else None
    entry = TensorEntry(path.stem, name, shape, offset, nbytes, strides)
    return Header(path, (entry,), {}, stored)
