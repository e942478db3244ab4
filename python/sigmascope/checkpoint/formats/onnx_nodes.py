# SPDX-License-Identifier: BSD-3-Clause
"""Nodes of an ONNX graph: tensors that are constants, and what holds graphs of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .protobuf import Field, WireStream

_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE = 1, 2, 4, 5
_NAME, _TENSOR, _GRAPH, _GRAPHS = 1, 5, 6, 11
_FEW = 8

BODIES = ("If", "Loop", "Scan")
"""Operators with graphs of their own."""


CONVOLUTIONS = ("Conv", "ConvTranspose", "ConvInteger")
"""Operators whose second input is a kernel."""


class Node(NamedTuple):
    """A node: its operator, the names of its second input and its output, its first attributes."""

    operator: str
    second: str
    output: str
    attributes: tuple[Field, ...]


def read_node(stream: WireStream, part: Field) -> Node:
    """Read one node, without the content of its attributes; CheckpointError if it is none."""
    operator = second = output = ""
    inputs = 0
    attributes: list[Field] = []
    for each in stream.enter(part, "a node"):
        inputs += each.number == _INPUT
        if each.number == _INPUT and inputs == 2:
            second = stream.text(each, "an input of a node")
        elif each.number == _OUTPUT and not output:
            output = stream.text(each, "an output of a node")
        elif each.number == _OPERATOR:
            operator = stream.text(each, "the operator of a node")
        elif each.number == _ATTRIBUTE and len(attributes) < _FEW:
            attributes.append(each)
    return Node(operator, second, output, tuple(attributes))


def constant_of(stream: WireStream, node: Node) -> Field | None:
    """Return the place of the tensor of a constant, None of any other node."""
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
    """List the graphs that a node has, each with the name of its attribute; none of most nodes."""
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
