# SPDX-License-Identifier: BSD-3-Clause
"""Scales of fp8 weights: the tensors that hold them, and the grid that they form.

A stored code c represents c times its scale, even where the scale is called an inverse
(`weight_scale_inv`: the inverse of the factor that the writer multiplied with).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sigmascope.checkpoint.formats.entries import DTYPE_BITS, Header, TensorEntry
from sigmascope.checkpoint.formats.ggml import BLOCK_DTYPES
from sigmascope.errors import CheckpointError

HEADERS = "headers"
"""File mode that reads only headers of files: ones replace the scales."""

#: Block size of nearly all block-scaled checkpoints, assumed if config.json gives none.
DEFAULT_BLOCK = (128, 128)

_NUMPY_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "F8_E8M0": "u1",
    "F8_E4M3": "u1",
}


@dataclass(frozen=True, slots=True)
class ScaleGrid:
    """Scales in a file: a C-order grid of `shape`, one per `block` of the matrix."""

    header: Header
    entry: TensorEntry
    first: int
    shape: tuple[int, int]
    block: tuple[int, int]
    exponents: bool = False  # the bytes are exponents, whatever dtype the file states

    def load(self, reading: str = "buffered") -> NDArray[np.float32]:
        """Read the grid, without the page cache if `reading` is "uncached"; ones for `HEADERS`.

        Returns
        -------
        ndarray of float32, shape `shape`

        Raises
        ------
        CheckpointError
            The file changed since it was opened, or scales are NaN, infinite or beyond float32.
        """
        self.header.check_unchanged()
        if reading == HEADERS:
            return np.ones(self.shape, np.float32)
        kind = "F8_E8M0" if self.exponents else self.entry.dtype
        dtype = np.dtype(_NUMPY_DTYPES[kind])
        count = self.shape[0] * self.shape[1]
        path, offset = self.header.path, self.entry.offset + self.first * dtype.itemsize
        raw = self.header.read(offset, count * dtype.itemsize, reading)
        codes = np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], dtype=dtype)
        if codes.size != count:
            raise CheckpointError(
                f"{path}: tensor {self.entry.name!r} at byte {offset}: {codes.size} of {count} "
                "scales could be read"
            )
        scales = _decode(codes, kind).reshape(self.shape)
        finite = np.isfinite(scales)
        if not finite.all():
            bad = np.argwhere(~finite)
            raise CheckpointError(
                f"{path}: tensor {self.entry.name!r} at byte {offset}: {len(bad)} of {count} "
                f"scales are NaN or infinite, the first at {bad[0].tolist()} of {list(self.shape)}"
            )
        return scales


def _decode(codes: NDArray[np.generic], dtype: str) -> NDArray[np.float32]:
    if dtype == "BF16":
        return (codes.astype(np.uint32) << 16).view(np.float32)
    if dtype == "F8_E8M0":
        return decode_exponents(codes)
    if dtype == "F8_E4M3":
        return decode_e4m3(codes)
    with np.errstate(over="ignore"):  # an overflow is an infinity, which the caller reports
        return codes.astype(np.float32)


def _numbers_of_e4m3() -> NDArray[np.float32]:
    """Return the number of each code: no infinities; NaN has all bits set except the sign."""
    codes = np.arange(256, dtype=np.int32)
    exponent, mantissa = codes >> 3 & 15, codes & 7
    numbers = np.ldexp(mantissa + 8 * (exponent > 0), np.maximum(exponent, 1) - 10)
    numbers = np.where(codes & 127 == 127, np.nan, numbers)
    return np.where(codes > 127, -numbers, numbers).astype(np.float32)


def _numbers_of_e8m0() -> NDArray[np.float32]:
    """Return the number of each code: powers of two, biased by 127; the last code is NaN."""
    codes = np.arange(256)
    return np.where(codes == 255, np.nan, np.ldexp(1.0, codes - 127)).astype(np.float32)


_E4M3, _E8M0 = _numbers_of_e4m3(), _numbers_of_e8m0()


def decode_e4m3(codes: NDArray[np.generic]) -> NDArray[np.float32]:
    """Decode the bytes of F8_E4M3."""
    return _E4M3[codes.astype(np.intp)]


def decode_exponents(codes: NDArray[np.generic]) -> NDArray[np.float32]:
    """Decode the bytes of F8_E8M0."""
    return _E8M0[codes.astype(np.intp)]


def scale_names(name: str, names: Collection[str]) -> list[str]:
    """Return the tensors among `names` that hold the scales of `name`, judging by their names."""
    stem = name.removesuffix(".weight")
    candidates = [name + "_scale_inv", name + "_scale"]
    if stem != name:
        candidates += [stem + ".scale", stem + ".scale_weight"]
    return [candidate for candidate in candidates if candidate in names]


def scale_grid(
    header: Header,
    entry: TensorEntry,
    shape: tuple[int, int],
    block: tuple[int, int] | None,
    part: tuple[int, int] | None = None,
) -> ScaleGrid | str:
    """Return the grid of a scale tensor over a matrix, or why its shape does not fit.

    Parameters
    ----------
    header, entry : Header, TensorEntry
        The tensor of scales and the header of its file.
    shape : tuple of int
        (m, n) of the matrix.
    block : tuple of int or None
        Block size from the model's configuration; 128 x 128 without one.
    part : tuple of int or None
        (index, count) for one slice of a stacked tensor. The scales then have a leading axis of
        length count, or are one number for all slices.
    """
    if entry.dtype not in _NUMPY_DTYPES:
        return f"scale {entry.name} has dtype {entry.dtype}"
    if entry.strides is not None:
        return f"scale {entry.name} has strides {list(entry.strides)}: not row after row"
    sizes, first = entry.shape, 0
    if part is not None and sizes and sizes[0] == part[1] and _count(sizes) > 1:
        first, sizes = part[0] * _count(sizes[1:]), sizes[1:]
    m, n = shape
    rows, columns = block or DEFAULT_BLOCK
    grids = {
        (-(-m // rows), -(-n // columns)): (rows, columns),
        (1, n): (m, 1),
        (m, 1): (1, n),
        (1, 1): (m, n),
    }
    # A vector of scales has one per row, for the output channels.
    grid = (1, 1) if _count(sizes) == 1 else (*sizes, 1) if len(sizes) == 1 else sizes
    if len(grid) == 2 and grid in grids:
        return ScaleGrid(header, entry, first, grid, grids[grid])
    if len(grid) == 2 and grid[0] == m and 0 not in grid and grid[1] < n and n % grid[1] == 0:
        return ScaleGrid(header, entry, first, (m, grid[1]), (1, n // grid[1]))
    return f"scale {entry.name} has shape {list(entry.shape)}, which does not fit {m} x {n}"


def _count(sizes: tuple[int, ...]) -> int:
    return int(np.prod(sizes, dtype=object)) if sizes else 1


def is_quantised(dtype: str) -> bool:
    """Return whether tensors of this dtype hold codes that usually have scales."""
    return dtype in BLOCK_DTYPES or (DTYPE_BITS.get(dtype, 64) <= 8 and dtype != "BOOL")
