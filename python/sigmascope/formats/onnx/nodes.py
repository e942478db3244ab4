# SPDX-License-Identifier: BSD-3-Clause
"""Nodes of an ONNX graph: constant tensors, and nodes that contain graphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sigmascope.extension.readers import MAX_DIMENSIONS

from .protobuf import Field, WireStream

_INPUT, _OUTPUT, _NODE_NAME, _OPERATOR, _ATTRIBUTE, _DOMAIN = 1, 2, 3, 4, 5, 7
_NAME, _INTEGER, _TEXT, _TENSOR, _GRAPH, _INTEGERS, _GRAPHS = 1, 3, 4, 5, 6, 8, 11
_FEW = 32

Setting = int | str | tuple[int, ...]
"""An attribute of a node."""

BODIES = ("If", "Loop", "Scan")
"""Operators that contain graphs."""


CONVOLUTIONS = ("Conv", "ConvTranspose", "ConvInteger")
"""Operators whose second input is a kernel."""


class Node(NamedTuple):
    """A node: its operator, the names of its inputs and its output, its first attributes.

    The operator begins with its domain, unless it is ONNX's own domain.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: tuple[Field, ...]

    def input(self, place: int) -> str:
        """Return the name of an input; "" if there is none."""
        return self.inputs[place] if len(self.inputs) > place else ""


def read_node(stream: WireStream, part: Field) -> Node:
    """Read one node, without the content of its attributes; CheckpointError if it is malformed."""
    operator = name = output = domain = ""
    inputs: list[str] = []
    attributes: list[Field] = []
    for each in stream.enter(part, "a node"):
        if each.number == _INPUT:
            inputs.append(stream.text(each, "an input of a node"))
        elif each.number == _OUTPUT and not output:
            output = stream.text(each, "an output of a node")
        elif each.number == _NODE_NAME:
            name = stream.text(each, "the name of a node")
        elif each.number == _OPERATOR:
            operator = stream.text(each, "the operator of a node")
        elif each.number == _DOMAIN:
            domain = stream.text(each, "the domain of a node")
        elif each.number == _ATTRIBUTE and len(attributes) < _FEW:
            attributes.append(each)
    if domain not in ("", "ai.onnx"):
        operator = f"{domain}.{operator}"
    return Node(operator, name, tuple(inputs), output, tuple(attributes))


def settings_of(stream: WireStream, node: Node) -> tuple[tuple[str, Setting], ...]:
    """Return a node's attributes that are integers, lists of them or texts, sorted by name."""
    settings: dict[str, Setting] = {}
    for attribute in node.attributes:
        name = ""
        value: Setting | None = None
        for each in stream.enter(attribute, "an attribute"):
            if each.number == _NAME:
                name = stream.text(each, "the name of an attribute")
            elif each.number == _INTEGER:
                value = signed(stream.number(each, "the number of an attribute"))
            elif each.number == _INTEGERS:
                some = stream.numbers(each, "the numbers of an attribute", MAX_DIMENSIONS)
                value = (*(value if isinstance(value, tuple) else ()), *map(signed, some))
            elif each.number == _TEXT:
                value = stream.text(each, "the text of an attribute")
        if value is not None:
            settings[name] = value
    return tuple(sorted(settings.items()))


def signed(number: int) -> int:
    """Return the signed integer that a varint of 64 bits encodes."""
    return number - 2**64 if number >= 2**63 else number


def constant_of(stream: WireStream, node: Node) -> Field | None:
    """Return the place of a constant's tensor; None for any other node."""
    if node.operator != "Constant":
        return None
    for attribute in node.attributes:
        name, tensor = "", None
        for each in stream.enter(attribute, "an attribute"):
            if each.number == _NAME:
                name = stream.text(each, "the name of an attribute")
            elif each.number == _TENSOR:
                tensor = each
        if name == "value":
            return tensor
    return None


def bodies_of(stream: WireStream, node: Node) -> Iterator[tuple[str, Field]]:
    """List the graphs of a node, each with the name of its attribute; most nodes have no graph."""
    if node.operator not in BODIES:
        return
    for attribute in node.attributes:
        name, graphs = "", list[Field]()
        for each in stream.enter(attribute, "an attribute"):
            if each.number == _NAME:
                name = stream.text(each, "the name of an attribute")
            elif each.number in (_GRAPH, _GRAPHS):
                graphs.append(each)
        for graph in graphs:
            yield name, graph
