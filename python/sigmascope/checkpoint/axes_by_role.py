# SPDX-License-Identifier: BSD-3-Clause
"""Weights of flax, whose arrays have inputs first: kernels, einsums, and layers in one array.

A `kernel` is (inputs, outputs). In attention it may be (inputs, heads, width), and (heads, width,
inputs) at its output; in a convolution it is (positions, channels, outputs). Kernels are read like
torch's weights, with outputs as rows, so the two compare. The role decides that: a kernel of
unknown role is read as it is stored. The usage of a tensor may state its input axes for any role.

MaxText keeps a weight of all layers in one array, along an axis that its settings choose. It is the
axis on which all these arrays have the same size. If there are several such axes, or layers of
several kinds, the arrays are not read. The Gemma package puts heads first, keys with values, and
gates with the weights that they multiply.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .arrays_of_axes import INPUTS, OUTPUTS, SPATIAL, Grid, is_readable, matrices_of_axes
from .naming.roles import Role
from .views import Located, Reading, View, dimensions

MAXTEXT = "flax-maxtext"
"""Model type of the names of MaxText, in the rules for roles."""

LAYER, EXPERT, PART = "l", "x", "p"

_PLACES = ("cross_", "pool_", "global_", "shared_")
_KERNEL = re.compile(r"(?:^|[./])(?:kernel|wi_?[01]?|wo)$")
_OF_LAYERS = re.compile(r"(?:^|[./])decoder[./](\w*layers(?:_remainder)?)[./](?![0-9])(layers_)?")
_EINSUM = re.compile(
    r"[./](q_einsum|kv_einsum|qkv_einsum|attn_vec_einsum|gating_einsum|linear)(?:[./]w)?$"
)
_GEMMA = {
    "q_einsum": "oio",
    "kv_einsum": "poio",
    "qkv_einsum": "poio",
    "attn_vec_einsum": "iio",
    "linear": "io",
}
_PARTS = {"kv_einsum": ("k", "v"), "qkv_einsum": ("q", "k", "v"), "gating_einsum": ("gate", "up")}


class _Layout(NamedTuple):
    """Axes of an array, and the names of its parts."""

    axes: str
    parts: tuple[str, ...] = ()


def layout_type(names: Iterable[str]) -> str | None:
    """Return the model type for rules, if names suffice to identify a layout of flax; else None.

    MaxText calls a model without an encoder a decoder. T5X uses that name for half of its model.
    """
    unique_names = set(names)
    ends = tuple(name.replace("/", ".") for name in unique_names)
    is_maxtext = any(name.endswith("token_embedder.embedding") for name in ends)
    has_encoder = any(re.search(r"(?:^|\.)encoder\.", name) for name in ends)
    return MAXTEXT if is_maxtext and not has_encoder else None


def with_outputs_first(
    readings: Mapping[str, Reading],
    roles: Mapping[str, Role],
    tensors: Mapping[str, Located],
    layout: str | None,
) -> dict[str, Reading]:
    """Read arrays of flax as torch's weights.

    Parameters
    ----------
    readings, roles, tensors
        Those of all tensors.
    layout : str or None
        Model type, from the configuration or from `layout_type`.

    Returns
    -------
    readings : dict
        All readings.
    """
    done = dict(readings)
    of_layers = _arrays_of_layers(readings, tensors, layout)
    for name, reading in readings.items():
        if reading.status not in ("matrix", "stack", "kernel"):
            continue
        tensor, role, axis = tensors[name], roles[name], of_layers.get(name)
        usage = tensor.entry.usage
        if usage.axes:
            if is_readable(tensor, usage.axes):
                done[name] = _read(name, tensor, _Layout(usage.axes), usage.program)
            continue
        if isinstance(axis, str):
            done[name] = Reading("unreadable", reason=axis)
        elif layout == MAXTEXT and role.role.endswith((".bias", "norm")):
            done[name] = Reading("vector", reason="vectors of heads or layers, no spectrum")
        elif role.role != "other":
            array_layout = _layout(name, role, tensor, reading.status, axis)
            if array_layout is not None and is_readable(tensor, array_layout.axes):
                done[name] = _read(name, tensor, array_layout)
            elif axis is not None:
                done[name] = Reading("unreadable", reason=_UNKNOWN_AXES)
        elif axis is not None:
            done[name] = Reading("unreadable", reason=_UNKNOWN_AXES)
    return done


_UNKNOWN_AXES = "an array of all layers, whose other axes are unknown"


def _arrays_of_layers(
    readings: Mapping[str, Reading], tensors: Mapping[str, Located], layout: str | None
) -> dict[str, int | str]:
    """Return the layer axis of arrays that hold all layers, or why it is not known."""
    if layout != MAXTEXT:
        return {}
    matches = {name: match for name in readings if (match := _OF_LAYERS.search(name))}
    plain = [name for name, match in matches.items() if match[1] == "layers" and not match[2]]
    axis = _axis_of_layers([tensors[name].entry.shape for name in plain])
    unknown = "an array of all layers, several of whose axes may be the axis of layers"
    kinds = "an array of several layers, whose numbers are unknown"
    if len(plain) < len(matches):  # the plain ones do not begin at layer 0, or not only they do
        return dict.fromkeys(matches, kinds)
    return dict.fromkeys(matches, unknown if axis is None else axis)


def _axis_of_layers(shapes: list[tuple[int, ...]]) -> int | None:
    """Return the axis on which arrays of all layers have one size; None unless it is unique."""
    if not shapes or min(map(len, shapes)) < 2:
        return None
    same = [axis for axis in (0, 1) if len({shape[axis] for shape in shapes}) == 1]
    return same[0] if len(same) == 1 else None


def _layout(
    name: str, role: Role, tensor: Located, status: str, axis: int | None
) -> _Layout | None:
    """Return the axes of an array; None if it is read in its stored order."""
    shape = list(tensor.entry.shape)
    einsum = _EINSUM.search(name)
    if einsum and "." not in role.role:
        return _einsum(einsum[1], shape)
    if not _KERNEL.search(name):
        return None
    if axis is not None:
        del shape[axis]
    axes = _kernel(role.role, len(shape), name.endswith("kernel"), status)
    if axes is None:
        return None
    return _Layout(axes if axis is None else axes[:axis] + LAYER + axes[axis:])


def _kernel(role: str, count: int, named: bool, status: str) -> str | None:
    """Return the axes of a kernel, or of a stack of experts, in one layer."""
    part = role
    for prefix in _PLACES:
        part = part.removeprefix(prefix)
    if not named:
        is_stack = count == 3 and part in ("gate", "up", "down")
        return EXPERT + INPUTS + OUTPUTS if is_stack else None
    if count == 2:
        return INPUTS + OUTPUTS
    if count == 3 and part in ("q", "k", "v"):
        return INPUTS + OUTPUTS + OUTPUTS
    if count == 3 and part == "o":
        return INPUTS + INPUTS + OUTPUTS
    is_convolution = status == "kernel" and ("conv" in role or role == "patches")
    return SPATIAL * (count - 2) + INPUTS + OUTPUTS if is_convolution else None


def _einsum(kind: str, shape: list[int]) -> _Layout | None:
    """Return the axes of an array of the Gemma package."""
    parts = _PARTS.get(kind, ())
    if kind == "gating_einsum":  # the inner size is the larger one, and may come first
        axes = "pio" if len(shape) == 3 and shape[1] <= shape[2] else "poi"
    else:
        axes = _GEMMA[kind]
    fits = len(axes) == len(shape) and (not parts or shape[0] == len(parts))
    return _Layout(axes, parts) if fits else None


def _read(name: str, tensor: Located, layout: _Layout, program: str = "flax") -> Reading:
    views = [
        _view(name, tensor, place, grid, layout.parts)
        for place, grid in matrices_of_axes(tensor, layout.axes)
    ]
    stored, shape = dimensions(tensor.entry.shape), dimensions(views[0].shape)
    if len(views) == 1:
        how = f"{program}'s {stored} read as {shape}, outputs as rows"
        return Reading("kernel" if SPATIAL in layout.axes else "matrix", tuple(views), how)
    how = f"{program}'s {stored} read as {len(views)} matrices {shape}, outputs as rows"
    return Reading("matrix" if layout.parts else "stack", tuple(views), how)


def _view(
    name: str, tensor: Located, place: Mapping[str, int], grid: Grid, parts: tuple[str, ...]
) -> View:
    layer, expert = place.get(LAYER), place.get(EXPERT)
    part = parts[place[PART]] if PART in place else None
    labels = "" if layer is None else f"[layer {layer}]"
    labels += "" if expert is None else f"[{expert}]"
    labels += "" if part is None else f"[{part}]"
    return View(name + labels, tensor.entry.name, grid, expert, part, layer=layer)
