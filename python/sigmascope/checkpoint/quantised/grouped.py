# SPDX-License-Identifier: BSD-3-Clause
"""Weights of codes in groups: find the tensors of each weight from the model's configuration.

Names of tensors never suffice to choose a layout. `quant_method` or the file names the layout, for
all tensors or for one, and the names and shapes of the tensors must fit it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sigmascope.checkpoint.configuration import Configuration
from sigmascope.checkpoint.reading import MAX_SLICES
from sigmascope.checkpoint.views import Extent, Located, Reading, View, dimensions

from .layouts import Part
from .modules import GroupedWeight, LayoutError, Module
from .registry import WeightReader, layout_of


class Grouped(NamedTuple):
    """Weights by the names of their codes, and the status of all tensors that belong to them."""

    weights: Mapping[str, GroupedWeight]
    parts: Mapping[str, Part]


def grouped_weights(tensors: Mapping[str, Located], config: Configuration) -> Grouped:
    """Find the weights of codes in groups, and the weights with an invalid layout.

    Parameters
    ----------
    tensors : mapping
        All tensors of the checkpoint by name.
    config : Configuration
        The settings of the model.
    """
    weights: dict[str, GroupedWeight] = {}
    parts: dict[str, Part] = {}
    method = _method(tensors, config)
    for name, tensor in tensors.items():
        if candidate := _candidate(tensor, tensors, method, config):
            layout, module, read = candidate
            try:
                weight = read(module)
                if weight.name != name and weight.name in tensors:
                    raise LayoutError(f"there is also a {weight.name}")
            except LayoutError as error:
                parts[name] = Part("unreadable", f"quantised weight ({layout}): {error}")
                parts |= {each: Part.of(name, "part") for each in tensor.entry.usage.others}
                continue
            weights[name] = weight
            parts |= {each: Part.of(name, "scale") for each in weight.scales}
            parts |= {each: Part.of(name, "part") for each in weight.others}
    return Grouped(weights, parts)


def _candidate(
    tensor: Located, tensors: Mapping[str, Located], method: str, config: Configuration
) -> tuple[str, Module, WeightReader] | None:
    """Return the layout of a tensor with codes, and its reader; None for any other tensor.

    The usage of the tensor names the layout, or else the method. The first value is the name of the
    layout in messages.
    """
    name, dtype, usage = tensor.entry.name, tensor.entry.dtype, tensor.entry.usage
    used = bool(usage.layout)
    layout = layout_of(usage.layout if used else method)
    if layout is None:
        return (usage.layout, Module(name, tensors, {}), _refuse) if used else None
    match = layout.reader_of(name, dtype, used)
    if match is None:
        return None
    stem, read = match
    settings = usage.settings if used else config.quantisation
    return layout.name if used else method, Module(stem, tensors, settings), read


def _refuse(module: Module) -> GroupedWeight:
    raise LayoutError("no installed package registers its layout")


def _method(tensors: Mapping[str, Located], config: Configuration) -> str:
    """Return the `quant_method` of the configuration, or the layout that the files state."""
    if config.method is not None:
        return config.method
    return next((each.header.layout for each in tensors.values() if each.header.layout), "")


def grouped_reading(weight: GroupedWeight) -> Reading:
    """Interpret the codes of a weight as its matrix."""
    if weight.slices is None:
        return Reading("matrix", (_view(weight, None),), weight.how)
    if weight.slices > MAX_SLICES:
        why = f"stack of {weight.slices} slices, above {MAX_SLICES}"
        return Reading("unreadable", reason=why)
    views = tuple(_view(weight, index) for index in range(weight.slices))
    how = f"stack of {weight.slices} matrices {dimensions(views[0].shape)}; {weight.how}"
    return Reading("stack", views, how)


def _view(weight: GroupedWeight, index: int | None) -> View:
    codes, nbytes = weight.codes, weight.packing.nbytes
    rows, columns = weight.packing.shape
    extent = Extent(
        codes.header,
        codes.entry.offset + (index or 0) * nbytes,
        (rows, columns if weight.columns is None else weight.columns),
        "f32",
        nbytes,
        transposed=weight.transposed,
        groups=lambda reading: weight.load(reading, index or 0),
    )
    name = weight.name if index is None else f"{weight.name}[{index}]"
    return View(name, codes.entry.name, ((extent,),), index)
