# SPDX-License-Identifier: BSD-3-Clause
"""How each stored tensor is read: as a matrix, as a stack of them, as a kernel, or why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from sigmascope.checkpoint.layouts import Part
from sigmascope.checkpoint.safetensors import DTYPE_BITS, Header, TensorEntry
from sigmascope.checkpoint.scales import ScaleGrid, scale_grid, scale_names

#: Dtypes that the engine decodes, by their names in the file.
MATRIX_DTYPES: Mapping[str, str] = {
    "F64": "f64",
    "F32": "f32",
    "F16": "f16",
    "BF16": "bf16",
    "F8_E4M3": "f8_e4m3",
    "F8_E5M2": "f8_e5m2",
}

#: A header of a hundred bytes can claim a stack of 2**40 slices; no model has more than this.
MAX_SLICES = 4096


@dataclass(frozen=True, slots=True)
class View:
    """One matrix in a file."""

    name: str
    tensor: str
    header: Header
    offset: int
    shape: tuple[int, int]
    dtype: str
    scale: ScaleGrid | None
    index: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What becomes of one stored tensor; `reason` is None exactly where there are views."""

    status: str
    views: tuple[View, ...] = ()
    how: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """A tensor and the file it stands in."""

    header: Header
    entry: TensorEntry


def read_as(
    tensor: Located,
    tensors: Mapping[str, Located],
    parts: Mapping[str, Part],
    block: tuple[int, int] | None,
) -> Reading:
    """Decide how one tensor is read.

    Parameters
    ----------
    tensor : Located
        The tensor.
    tensors : mapping
        All tensors of the checkpoint, among which its scales are looked for.
    parts : mapping
        The tensors that belong to quantised weights.
    block : tuple of int or None
        Block size of fp8 scales from the model's configuration.

    Returns
    -------
    Reading
        status "matrix", "stack" or "kernel" with views; else "scalar", "vector", "empty",
        "integer", "scale" or "part" (nothing is lost by leaving these out), or "unreadable".
    """
    entry = tensor.entry
    if entry.name in parts:
        part = parts[entry.name]
        return Reading(part.status, reason=part.reason)
    if 0 in entry.shape:
        return Reading("empty", reason=f"no elements: shape {list(entry.shape)}")
    if entry.dtype == "BOOL" or entry.dtype[0] in "UI":
        return Reading("integer", reason=f"{entry.dtype} holds no real numbers")
    if len(entry.shape) < 2:
        status = "vector" if entry.shape else "scalar"
        return Reading(status, reason=f"{status}, no spectrum")
    if entry.dtype not in MATRIX_DTYPES:
        return Reading("unreadable", reason=f"dtype {entry.dtype} is not decoded")
    return _floating(tensor, tensors, block)


def _floating(
    tensor: Located, tensors: Mapping[str, Located], block: tuple[int, int] | None
) -> Reading:
    shape = tensor.entry.shape
    if len(shape) > 5:
        return Reading("unreadable", reason=f"{len(shape)} dimensions: no matrix view is known")
    if len(shape) == 2:
        return _views(tensor, tensors, block, "matrix", (shape[0], shape[1]), None)
    if len(shape) > 3 or "conv" in tensor.entry.name or 1 in shape[1:]:
        rows, columns = shape[0], prod(shape[1:])
        if rows == 1 or columns == 1:
            return Reading("vector", reason=f"vector of shape {list(shape)}, no spectrum")
        how = f"kernel {_by(shape)} read as {_by((rows, columns))}"
        return _views(tensor, tensors, block, "kernel", (rows, columns), how)
    if shape[0] > MAX_SLICES:
        return Reading("unreadable", reason=f"stack of {shape[0]} slices, above {MAX_SLICES}")
    how = f"stack of {shape[0]} matrices {_by(shape[1:])}"
    return _views(tensor, tensors, block, "stack", (shape[1], shape[2]), how)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _views(
    tensor: Located,
    tensors: Mapping[str, Located],
    block: tuple[int, int] | None,
    status: str,
    shape: tuple[int, int],
    how: str | None,
) -> Reading:
    """List the matrices of one tensor, with their scales if it is fp8."""
    entry = tensor.entry
    scale: Located | None = None
    if entry.dtype.startswith("F8"):
        names = scale_names(entry.name, tensors)
        if len(names) > 1:
            return Reading("unreadable", reason=f"two scales: {names[0]} and {names[1]}")
        scale = tensors[names[0]] if names else None
    count = entry.shape[0] if status == "stack" else 1
    nbytes = prod(shape) * DTYPE_BITS[entry.dtype] // 8
    views: list[View] = []
    for index in range(count):
        part = (index, count) if status == "stack" else None
        grid = None
        if scale is not None:
            grid = scale_grid(scale.header, scale.entry, shape, block, part)
        if isinstance(grid, str):
            return Reading("unreadable", reason=grid)
        name = entry.name if part is None else f"{entry.name}[{index}]"
        views.append(
            View(
                name,
                entry.name,
                tensor.header,
                entry.offset + index * nbytes,
                shape,
                MATRIX_DTYPES[entry.dtype],
                grid,
                None if part is None else index,
            )
        )
    if entry.dtype.startswith("F8"):
        how = "; ".join(filter(None, (how, _scaling(views[0].scale, shape, block))))
    return Reading(status, tuple(views), how)


def _scaling(grid: ScaleGrid | None, shape: tuple[int, int], block: tuple[int, int] | None) -> str:
    if grid is None:
        return "no scale stored"
    if grid.block == shape:
        return f"one scale, {grid.entry.name}"
    # Blocks larger than the matrix and per-row scales need no configuration to be sure of.
    assumed = block is None and min(grid.block) > 1
    return f"scale per {_by(grid.block)} block, {grid.entry.name}" + (
        " (block size assumed)" if assumed else ""
    )
