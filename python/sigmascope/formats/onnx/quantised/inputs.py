# SPDX-License-Identifier: BSD-3-Clause
"""Codes that nodes of ONNX models take, with their attributes and their other tensors."""

from __future__ import annotations

import re

from sigmascope.extension.quantised import (
    LayoutError,
    Located,
    Module,
)
from sigmascope.extension.readers import brief
from sigmascope.formats.onnx.usage import NodeUsage
from sigmascope.formats.onnx.uses import Use

_ADDED = re.compile(r"_(?:DQ_)?Q[248](?:G\d+)?$|_quantized$|(?<=\.)q(?=weight$)")


def integer_of(module: Module, key: str, default: int = 0) -> int:
    """Return an attribute; LayoutError unless it is an integer."""
    value = module.settings.get(key, default)
    if type(value) is not int:
        raise LayoutError(f"the node gives {key} {brief(value)}, not an integer")
    return value


def inputs_of(module: Module, codes: Located, names: tuple[str, ...]) -> Module:
    """Return the node's other tensors by the names of its inputs.

    Raises
    ------
    LayoutError
        Nodes disagree, or an input is computed.
    """
    use = use_of(codes)
    if not use.agreed:
        raise LayoutError(f"nodes use {codes.entry.name} with different scales or attributes")
    inputs: dict[str, Located] = {}
    for what, name in zip(names, use.others, strict=True):
        if name is None or (name and name not in module.tensors):
            raise LayoutError(f"the {what} are computed, not stored")
        if name:
            inputs[what] = module.tensors[name]
    return Module("", inputs, module.settings)


def use_of(codes: Located) -> Use:
    """Return the use of codes by nodes; LayoutError if no node has them."""
    usage = codes.entry.usage
    if not isinstance(usage, NodeUsage):
        raise LayoutError(f"{codes.entry.name} is not the input of a node")
    return usage.use


def original_name(name: str, module: Module) -> str:
    """Return the name of the weight, without what tools add; the codes' name if it is in use.

    If something else uses the original weight, the model keeps it as well. A node that makes the
    numbers may give them the name of the weight.
    """
    numbers = str(module.settings.get("numbers", ""))
    extended = name.startswith((f"{numbers}_", f"{numbers}.")) if numbers else False
    original = numbers if extended else _ADDED.sub("", name)
    return name if original in module.tensors else original
