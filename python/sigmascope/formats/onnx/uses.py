# SPDX-License-Identifier: BSD-3-Clause
"""Uses of the tensors of an ONNX model by its nodes.

The name of a weight may be meaningless (`onnx::MatMul_1022`), and its scales have no name of their
own, but the node that takes the weight knows both. A name in a graph means the tensor of that
graph, or else of the nearest graph around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from .chains import ARITHMETIC, PASSING, STEPS, Chain, Integers, Tensor, follow, forwarded
from .nodes import Node, Setting, settings_of
from .protobuf import Field, WireStream

BLOCKS = "com.microsoft.MatMulNBits"
"""The operator of onnxruntime whose second input is codes in blocks."""

LINEAR = ("DequantizeLinear", "com.microsoft.DequantizeLinear")
"""The operators whose first input is codes of any shape."""

TABLE = "com.microsoft.GatherBlockQuantized"
"""The operator of onnxruntime that takes rows of its first input, which is codes."""

EXPERTS = "com.microsoft.QMoE"
"""The operator of onnxruntime that takes the codes of all experts of a layer."""

BYTES_BY_NAME = "onnx.quantize"
"""Producer of models whose 8-bit weights are recognised by name."""

_CODES: Mapping[str, Mapping[int, tuple[int, ...]]] = {
    BLOCKS: {1: (2, 3, 4)},
    **{operator: {0: (1, 2)} for operator in LINEAR},
    TABLE: {0: (2, 3)},
    EXPERTS: {2: (3, 11), 5: (6, 12), 8: (9, 13)},
}
"""Places of codes, and of the tensors that belong to them, among the inputs of operators."""

CODED = {*_CODES, ARITHMETIC}
"""Operators that take codes."""

_INPUTS_FIRST = ("MatMul", "MatMulInteger")


@dataclass(frozen=True, slots=True)
class Use:
    """Use of a tensor as a weight: the second input of nodes, or the codes of a node.

    Attributes
    ----------
    operator : str
        The operator, with its domain unless that is ONNX's own; "" if the tensor is not a weight,
        or if nodes of several operators take it and no operator takes codes.
    node : str
        Name of the node; "" unless it is the only node that uses the tensor.
    others : tuple of str or None
        Names of the scales, zeros and groups of codes: "" for an omitted tensor, None for a
        computed one.
    settings : tuple of (str, int or str or tuple of int)
        Attributes that are integers or texts, for operators that take codes and for Gemm. For
        `ARITHMETIC`, the settings of its :class:`~sigmascope.formats.onnx.chains.Chain`.
    agreed : bool
        True if all nodes of this operator use the tensor with the same inputs and attributes.
    place : int
        Index of the tensor among the inputs, from 0.
    consumer : Use or None
        Use of the numbers of codes of `LINEAR` and `ARITHMETIC`, if a single node takes them.
    transposed : bool
        True if the node has the transpose of the stored matrix.
    """

    operator: str
    node: str = ""
    others: tuple[str | None, ...] = ()
    settings: tuple[tuple[str, Setting], ...] = ()
    agreed: bool = True
    place: int = 1
    consumer: Use | None = None
    transposed: bool = False

    @property
    def inputs_first(self) -> bool | None:
        """True if the rows of the matrix are inputs, False if outputs, None if unknown."""
        if self.consumer is not None:
            return self.consumer.inputs_first
        if self.operator == "Gemm":
            return bool(dict(self.settings).get("transB", 0)) == self.transposed
        if self.operator in _INPUTS_FIRST:
            return not self.transposed
        return False if self.operator == BLOCKS else None

    def merged(self, other: Use) -> Use:
        """Return the combined use of a tensor that is used in two ways."""
        first, second = replace(self, node=""), replace(other, node="")
        if first == second:
            return first
        if first.operator == second.operator and first.operator in CODED:
            return replace(first, agreed=False)
        codes = [use for use in (first, second) if use.operator in CODED]
        return codes[0] if len(codes) == 1 else Use("")


class Named(Tensor, Protocol):
    """A named tensor, and its use."""

    use: Use | None


@dataclass(eq=False)
class Graph:
    """A graph: the main graph, or a body, whose node and attribute `prefix` names.

    Attributes
    ----------
    own, constants : dict
        The tensors of the graph, by the names that its nodes give them: listed tensors, and
        constants that may serve to compute shapes.
    uses, worked : dict
        Uses of tensors of this graph or of a graph around it: by all nodes, and by nodes that are
        not in `PASSING`.
    dequantised : dict
        Names of the codes of outputs of `LINEAR`.
    numbers : dict
        Chains that end with outputs of `LINEAR` or `ARITHMETIC`.
    steps : dict
        Nodes of `STEPS` by their outputs.
    """

    part: Field
    prefix: str = ""
    depth: int = 0
    around: Graph | None = None
    own: dict[str, Named] = field(default_factory=dict)
    constants: dict[str, Named] = field(default_factory=dict)
    uses: dict[str, Use] = field(default_factory=dict)
    worked: dict[str, Use] = field(default_factory=dict)
    dequantised: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, Chain] = field(default_factory=dict)
    steps: dict[str, tuple[Node, Mapping[str, Setting]]] = field(default_factory=dict)

    def add(self, stream: WireStream, node: Node) -> None:
        """Add a node's use of its inputs."""
        codes = _CODES.get(node.operator, {})
        known = node.operator in _CODES or node.operator in STEPS or node.operator == "Gemm"
        settings = settings_of(stream, node) if known else ()
        if node.operator in LINEAR:
            self.dequantised[node.output] = node.input(0)
        if node.operator in STEPS:
            self.steps[node.output] = node, dict(settings)
        for place, name in enumerate(node.inputs):
            use = Use("")
            if place in codes:
                others = tuple(node.input(other) for other in codes[place])
                use = Use(node.operator, node.name, others, settings, place=place)
            elif not codes and place == 1 and node.operator != ARITHMETIC:
                kept = settings if node.operator == "Gemm" else ()
                use = Use(node.operator, node.name, (), kept)
            _merge(self.uses, name, use)
            if node.operator not in PASSING:
                _merge(self.worked, name, use)

    def step(self, name: str) -> tuple[Node, Mapping[str, Setting]] | None:
        """Return the node of `STEPS` that computes a tensor, here or in a graph around."""
        steps = (graph.steps[name] for graph in self._outwards() if name in graph.steps)
        return next(steps, None)

    def named(self, name: str) -> Named | None:
        """Return the tensor that a node of this graph means; None if it is computed."""
        tensors = (graph.own[name] for graph in self._outwards() if name in graph.own)
        return next(tensors, None)

    def stored(self, name: str) -> Named | None:
        """Return the tensor or the constant that a node means; None if it is computed."""
        owner = self.owner_of_constant(name)
        return self.named(name) if owner is None else owner.constants[name]

    def owner_of_constant(self, name: str) -> Graph | None:
        """Return the graph that has a constant: this graph or one around it."""
        return next((graph for graph in self._outwards() if name in graph.constants), None)

    def chain(self, name: str) -> Chain | None:
        """Return the chain that ends with a tensor, if the tensor has the numbers of codes."""
        chains = (graph.numbers[name] for graph in self._outwards() if name in graph.numbers)
        return next(chains, None)

    def _outwards(self) -> Iterator[Graph]:
        graph: Graph | None = self
        while graph is not None:
            yield graph
            graph = graph.around


def set_arithmetic(graphs: Sequence[Graph], integers: Integers) -> None:
    """Add the uses of codes that arithmetic nodes convert to numbers.

    `integers` reads the shapes that nodes of Reshape take.
    """
    for graph in graphs:
        for output, codes in graph.dequantised.items():
            if (tensor := graph.stored(codes)) is not None:
                graph.numbers[output] = Chain.of(codes, tensor)
        for output, (node, _) in graph.steps.items():
            chain = follow(graph, output, integers) if node.operator == "Mul" else None
            if chain is None:
                continue
            settings = *sorted(chain.settings.items()), ("numbers", output)
            use = Use(ARITHMETIC, node.name, (chain.scales, chain.zeros), settings, place=0)
            graph.numbers[output] = chain
            _merge(graph.uses, chain.name, use)


def used_constants(graphs: Sequence[Graph]) -> Iterator[tuple[Graph, str]]:
    """List the constants that are codes, scales or zeros, each with its graph."""
    for graph in graphs:
        for name, use in graph.uses.items():
            for each in (name, *use.others) if use.operator in CODED else ():
                if each and (owner := graph.owner_of_constant(each)) is not None:
                    yield owner, each


def set_uses(graphs: Sequence[Graph]) -> None:
    """Set the uses of the tensors of all graphs of a model, after the graphs are read."""
    known = {name for graph in graphs for name in graph.own}
    for graph in graphs:
        for name, use in graph.uses.items():
            tensor = graph.named(name) if name in known else None
            if tensor is None:
                continue
            others = tuple(_stored_name(graph, other) for other in use.others)
            stored_use = replace(use, others=others)
            tensor.use = stored_use if tensor.use is None else tensor.use.merged(stored_use)


def set_consumers(graphs: Sequence[Graph], integers: Integers) -> None:
    """Set the uses of the numbers of codes, after the uses of the codes are set."""
    consumers: dict[str, Use] = {}
    shapes: dict[str, set[tuple[int, ...]]] = {}
    for graph in graphs:
        for name, use in graph.worked.items():
            if (chain := forwarded(graph, name, integers)) is None:
                continue
            codes, transposed = chain.codes.name, chain.transposed
            here = Use("") if transposed is None else replace(use, transposed=transposed)
            _merge(consumers, codes, here)
            shapes.setdefault(codes, set()).add(chain.shape)
    for tensor in (tensor for graph in graphs for tensor in graph.own.values()):
        of_codes = tensor.use
        if tensor.name not in consumers or of_codes is None:
            continue
        if of_codes.operator in (*LINEAR, ARITHMETIC):
            settings = dict(of_codes.settings)
            if len(shapes[tensor.name]) == 1:
                settings["shape"] = min(shapes[tensor.name])
            known, every = consumers[tensor.name], tuple(sorted(settings.items()))
            tensor.use = replace(of_codes, consumer=known, settings=every)


def _merge(uses: dict[str, Use], name: str, use: Use) -> None:
    known = uses.get(name)
    uses[name] = use if known is None else known.merged(use)


def _stored_name(graph: Graph, name: str | None) -> str | None:
    if not name:
        return name
    tensor = graph.named(name)
    return None if tensor is None else tensor.name
