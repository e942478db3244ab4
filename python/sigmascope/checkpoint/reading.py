# SPDX-License-Identifier: BSD-3-Clause
"""Interpretation of stored tensors: a matrix, a stack of matrices, a kernel, or none of these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from .formats.entries import DTYPE_BITS, TensorEntry, is_integer
from .formats.ggml import BLOCK_DTYPES, reason_of
from .quantised.layouts import Part
from .quantised.mxfp4 import GROUP, packed_grid, packed_scales
from .quantised.scales import ScaleGrid, scale_grid, scale_names
from .views import Extent, Located, Reading, View, dimensions, size_of

#: Dtypes that the native module decodes, by their names in the file.
MATRIX_DTYPES: Mapping[str, str] = {
    "F64": "f64",
    "F32": "f32",
    "F16": "f16",
    "BF16": "bf16",
    "F8_E4M3": "f8_e4m3",
    "F8_E5M2": "f8_e5m2",
    **BLOCK_DTYPES,
}

#: Dtype of scales that are powers of two.
EXPONENTS = "F8_E8M0"

#: Largest number of slices of a stack: a header of a hundred bytes can claim 2**40 of them.
MAX_SLICES = 4096


def read_as(
    tensor: Located,
    tensors: Mapping[str, Located],
    parts: Mapping[str, Part],
    block: tuple[int, int] | None,
) -> Reading:
    """Decide how one tensor is interpreted.

    Parameters
    ----------
    tensor : Located
        The tensor.
    tensors : mapping
        All tensors of the checkpoint, which may include its scales.
    parts : mapping
        Tensors that belong to quantised weights, or are second names of other tensors.
    block : tuple of int or None
        Block size of fp8 scales from the model's configuration.

    Returns
    -------
    Reading
        status "matrix", "stack" or "kernel" with views; else "scalar", "vector", "empty",
        "integer", "scale", "part", "tied" or "other", which do not have a spectrum, or
        "unreadable".
    """
    entry = tensor.entry
    if entry.foreign is not None:
        return Reading("other", reason=entry.foreign)
    if entry.name in parts:
        part = parts[entry.name]
        return Reading(part.status, reason=part.reason)
    if 0 in entry.shape:
        return Reading("empty", reason=f"no elements: shape {list(entry.shape)}")
    if scales := packed_scales(entry, {name: other.entry for name, other in _near(entry, tensors)}):
        return _packed(tensor, tensors[scales.name])
    if is_integer(entry.dtype):
        return Reading("integer", reason=f"{entry.dtype} holds no real numbers")
    short = len(entry.shape) < 2
    if entry.dtype not in MATRIX_DTYPES and not (short and entry.dtype == EXPONENTS):
        return Reading("unreadable", reason=reason_of(entry.dtype))
    if short:
        status = "vector" if entry.shape else "scalar"
        return Reading(status, reason=f"{status}, no spectrum")
    return _floating(tensor, tensors, block)


def _near(entry: TensorEntry, tensors: Mapping[str, Located]) -> Iterator[tuple[str, Located]]:
    stem = entry.name[:-7]
    names = (stem + "_scales", stem + ".scales")
    return ((name, tensors[name]) for name in names if name in tensors)


def _packed(codes: Located, scales: Located) -> Reading:
    """Interpret an MXFP4 weight: one matrix of rows x 32 groups, or one for each expert."""
    *experts, rows, groups, _ = codes.entry.shape
    shape, count = (rows, GROUP * groups), experts[0] if experts else 1
    if count > MAX_SLICES:
        return Reading("unreadable", reason=f"stack of {count} slices, above {MAX_SLICES}")
    nbytes = size_of(shape, 4)
    views: list[View] = []
    for index in range(count):
        grid = packed_grid(scales.header, scales.entry, index)
        offset = codes.entry.offset + index * nbytes
        extent = Extent(codes.header, offset, shape, "f4_e2m1", nbytes, grid)
        views.append(_view(codes.entry, extent, index if experts else None))
    how = f"MXFP4, scale per 1 x {GROUP} block, {scales.entry.name}"
    if not experts:
        return Reading("matrix", tuple(views), how)
    return Reading("stack", tuple(views), f"stack of {count} matrices {dimensions(shape)}; {how}")


def _view(entry: TensorEntry, extent: Extent, index: int | None) -> View:
    name = entry.name if index is None else f"{entry.name}[{index}]"
    return View(name, entry.name, ((extent,),), index)


def _floating(
    tensor: Located, tensors: Mapping[str, Located], block: tuple[int, int] | None
) -> Reading:
    shape = tensor.entry.shape
    if len(shape) > 5:
        return Reading(
            "unreadable", reason=f"{len(shape)} dimensions: a matrix view is not defined"
        )
    if len(shape) == 2:
        return _views(tensor, tensors, block, "matrix", (shape[0], shape[1]), None)
    named = tensor.entry.usage.kernel or "conv" in tensor.entry.name
    if len(shape) > 3 or named or 1 in shape[1:]:
        rows, columns = shape[0], prod(shape[1:])
        if rows == 1 or columns == 1:
            return Reading("vector", reason=f"vector of shape {list(shape)}, no spectrum")
        how = f"kernel {dimensions(shape)} read as {dimensions((rows, columns))}"
        return _views(tensor, tensors, block, "kernel", (rows, columns), how)
    if shape[0] > MAX_SLICES:
        return Reading("unreadable", reason=f"stack of {shape[0]} slices, above {MAX_SLICES}")
    how = f"stack of {shape[0]} matrices {dimensions(shape[1:])}"
    return _views(tensor, tensors, block, "stack", (shape[1], shape[2]), how)


def _views(
    tensor: Located,
    tensors: Mapping[str, Located],
    block: tuple[int, int] | None,
    status: str,
    shape: tuple[int, int],
    how: str | None,
) -> Reading:
    """List the matrices of one tensor, with their scales if it is fp8 or in blocks of GGML."""
    entry = tensor.entry
    scale: Located | None = None
    if entry.dtype.startswith("F8") or entry.dtype in BLOCK_DTYPES:
        names = scale_names(entry.name, tensors)
        if len(names) > 1:
            return Reading("unreadable", reason=f"two scales: {names[0]} and {names[1]}")
        scale = tensors[names[0]] if names else None
    if entry.strides is not None:
        return _strided(tensor, scale)
    count = entry.shape[0] if status == "stack" else 1
    nbytes = entry.nbytes // count
    views: list[View] = []
    for index in range(count):
        part = (index, count) if status == "stack" else None
        grid = None
        if scale is not None:
            grid = scale_grid(scale.header, scale.entry, shape, block, part)
        if isinstance(grid, str):
            return Reading("unreadable", reason=grid)
        offset = entry.offset + index * nbytes
        dtype = MATRIX_DTYPES[entry.dtype]
        extent = Extent(tensor.header, offset, shape, dtype, nbytes, grid)
        views.append(_view(entry, extent, None if part is None else index))
    if entry.dtype.startswith("F8") or scale is not None:
        how = "; ".join(filter(None, (how, _scaling(views[0], shape, block))))
    return Reading(status, tuple(views), how)


def _strided(tensor: Located, scale: Located | None) -> Reading:
    """Interpret a matrix with strides: rows with gaps between them, or its transpose."""
    entry = tensor.entry
    strides = entry.strides or ()
    if len(entry.shape) != 2 or min(strides) != 1 or scale is not None:
        lies = "scaled, but" if scale is not None else "neither rows nor columns are contiguous:"
        return Reading("unreadable", reason=f"{lies} strides {list(strides)}")
    transposed = strides[1] != 1 or (strides[0] == 1 and entry.shape[1] > 1)
    m, n = entry.shape
    stored, stride = ((n, m), strides[1]) if transposed else ((m, n), strides[0])
    if stride < stored[1]:
        return Reading("unreadable", reason=f"elements overlap: strides {list(strides)}")
    extent = Extent(
        tensor.header,
        entry.offset,
        stored,
        MATRIX_DTYPES[entry.dtype],
        entry.nbytes,
        row_stride=stride * DTYPE_BITS[entry.dtype] // 8,
        transposed=transposed,
    )
    gaps = f"rows of {stride} elements, of which {stored[1]} are read"
    how = "stored transposed" if transposed else gaps
    return Reading("matrix", (_view(entry, extent, None),), how)


def _scaling(view: View, shape: tuple[int, int], block: tuple[int, int] | None) -> str:
    grid: ScaleGrid | None = view.grid[0][0].scale
    if grid is None:
        return "no scale stored"
    if grid.block == shape:
        return f"one scale, {grid.entry.name}"
    # Blocks larger than the matrix, and scales per row, are certain without a configuration.
    assumed = block is None and min(grid.block) > 1
    return f"scale per {dimensions(grid.block)} block, {grid.entry.name}" + (
        " (block size assumed)" if assumed else ""
    )
