# SPDX-License-Identifier: BSD-3-Clause
"""Uses of the tensors of an ONNX model by its nodes.

The name of a weight may say nothing (`onnx::MatMul_1022`), and the scales of one have no name of
their own: the node that takes it knows both. A name in a graph means the tensor of that graph, or
else that of the nearest graph around it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from .onnx_nodes import Node, settings_of
from .protobuf import Field, WireStream

BLOCKS = "com.microsoft.MatMulNBits"
"""The operator of onnxruntime whose second input are codes in blocks."""

LINEAR = ("DequantizeLinear", "com.microsoft.DequantizeLinear")
"""The operators whose first input are codes of any shape."""

TABLE = "com.microsoft.GatherBlockQuantized"
"""The operator of onnxruntime whose first input are codes, of which it takes rows."""

EXPERTS = "com.microsoft.QMoE"
"""The operator of onnxruntime that has the codes of all experts of a layer."""

_CODES: Mapping[str, Mapping[int, tuple[int, ...]]] = {
    BLOCKS: {1: (2, 3, 4)},
    **{operator: {0: (1, 2)} for operator in LINEAR},
    TABLE: {0: (2, 3)},
    EXPERTS: {2: (3, 11), 5: (6, 12), 8: (9, 13)},
}
"""Places of codes among the inputs of operators, and those of the tensors that belong to them."""

_INPUTS_FIRST = ("MatMul", "MatMulInteger")


@dataclass(frozen=True, slots=True)
class Use:
    """Use of a tensor as a weight: the second input of nodes, or the codes of one.

    Attributes
    ----------
    operator : str
        The operator, with its domain if that is not ONNX's own; "" if the tensor is no weight, or
        if nodes of several operators have it, none of which takes codes.
    node : str
        Name of the node; "" unless it is the only one that uses the tensor.
    others : tuple of str or None
        Names of the scales, zeros and groups of codes: "" of one that is left out, None of one
        that is computed.
    settings : tuple of (str, int or str)
        Attributes that are integers or texts; of operators that take codes, and of Gemm.
    agreed : bool
        All nodes of this operator that use the tensor do so with the same inputs and attributes.
    place : int
        Place of the tensor among the inputs, from 0.
    consumer : Use or None
        Use of the numbers of codes of `LINEAR`, if one node has them.
    """

    operator: str
    node: str = ""
    others: tuple[str | None, ...] = ()
    settings: tuple[tuple[str, int | str], ...] = ()
    agreed: bool = True
    place: int = 1
    consumer: Use | None = None

    @property
    def inputs_first(self) -> bool | None:
        """True if the rows of the matrix are inputs, False if outputs, None if unknown."""
        if self.consumer is not None:
            return self.consumer.inputs_first
        if self.operator == "Gemm":
            return not dict(self.settings).get("transB", 0)
        return {BLOCKS: False}.get(self.operator, True if self.operator in _INPUTS_FIRST else None)

    def merged(self, other: Use) -> Use:
        """Return the use of a tensor that is used in two ways."""
        first, second = replace(self, node=""), replace(other, node="")
        if first == second:
            return first
        if first.operator == second.operator and first.operator in _CODES:
            return replace(first, agreed=False)
        codes = [use for use in (first, second) if use.operator in _CODES]
        return codes[0] if len(codes) == 1 else Use("")


class Named(Protocol):
    """A tensor that is known by name, and how it is used."""

    name: str
    use: Use | None


@dataclass(eq=False)
class Graph:
    """A graph: the main one, or a body, whose node and attribute `prefix` names.

    `own` are the tensors in it by the names that its nodes give them; `uses` how these nodes use
    tensors of this graph or of one around it; `dequantised` the codes of outputs of `LINEAR`.
    """

    part: Field
    prefix: str = ""
    depth: int = 0
    around: Graph | None = None
    own: dict[str, Named] = field(default_factory=dict)
    uses: dict[str, Use] = field(default_factory=dict)
    dequantised: dict[str, str] = field(default_factory=dict)

    def add(self, stream: WireStream, node: Node) -> None:
        """Add what a node does with its inputs."""
        if node.operator in LINEAR:
            self.dequantised[node.output] = node.input(0)
        for place, name in enumerate(node.inputs):
            use = Use("")
            codes = _CODES.get(node.operator)
            if codes is not None and place in codes:
                others = tuple(node.input(other) for other in codes[place])
                settings = settings_of(stream, node)
                use = Use(node.operator, node.name, others, settings, place=place)
            elif codes is None and place == 1:
                settings = settings_of(stream, node) if node.operator == "Gemm" else ()
                use = Use(node.operator, node.name, (), settings)
            found = self.uses.get(name)
            self.uses[name] = use if found is None else found.merged(use)

    def named(self, name: str) -> Named | None:
        """Return the tensor that a node of this graph means; None if it is computed."""
        graph: Graph | None = self
        while graph is not None:
            if name in graph.own:
                return graph.own[name]
            graph = graph.around
        return None


def set_uses(graphs: Sequence[Graph]) -> None:
    """Set the uses of the tensors of all graphs of a model, after these are read."""
    known = {name for graph in graphs for name in graph.own}
    for graph in graphs:
        for name, use in graph.uses.items():
            tensor = graph.named(name) if name in known else None
            if tensor is None:
                continue
            others = tuple(_stored_name(graph, other) for other in use.others)
            found = replace(use, others=others)
            tensor.use = found if tensor.use is None else tensor.use.merged(found)


def set_consumers(graphs: Sequence[Graph]) -> None:
    """Set the uses of the numbers of codes, after those of the codes themselves."""
    uses: dict[str, list[Use]] = {}
    for graph in graphs:
        for name, use in graph.uses.items():
            uses.setdefault(name, []).append(use)
    for graph in graphs:
        for output, codes in graph.dequantised.items():
            tensor, found = graph.named(codes), uses.get(output, [])
            if tensor is None or tensor.use is None or tensor.use.operator not in LINEAR:
                continue
            known = tensor.use.consumer
            here = found[0] if len(found) == 1 else Use("")
            consumer = here if known is None else known.merged(here)
            tensor.use = replace(tensor.use, consumer=consumer)


def _stored_name(graph: Graph, name: str | None) -> str | None:
    if not name:
        return name
    found = graph.named(name)
    return None if found is None else found.name
