# SPDX-License-Identifier: BSD-3-Clause
"""Chains of nodes between a stored tensor of an ONNX model and the node that computes with it.

Exporters without quantised operators write a weight of 8 bits as arithmetic: Cast of the codes, Sub
of the zeros, Mul by the scales. Identity, Transpose and Reshape may come before, between and after
these nodes. Casts to integers and to floating point do not change codes of at most 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol

from .nodes import Node

Setting = int | str | tuple[int, ...]
Settings = Mapping[str, Setting]

ARITHMETIC = "onnx.arithmetic"
"""Name, instead of an operator, for the nodes Cast, Sub and Mul that convert codes to numbers."""

MOVING = ("Identity", "Transpose", "Reshape")
"""Operators that change the places of numbers, but not the numbers."""

PASSING = (*MOVING, "Cast")
"""Operators between numbers and the node that computes with them."""

STEPS = (*PASSING, "Sub", "Mul")
"""Operators of the nodes that a chain may have."""

CODES = frozenset(("I8", "U8", "I4", "U4", "I2", "U2", "F8_E4M3", "F8_E5M2"))
"""Dtypes of codes."""

_FLOATS, _INTEGERS = frozenset((1, 10, 11, 16)), frozenset((6, 7))
_KEPT: Mapping[str, frozenset[int]] = {
    **{kind: _FLOATS | _INTEGERS for kind in CODES if kind[0] != "F"},
    **dict.fromkeys(("F8_E4M3", "F8_E5M2"), _FLOATS),
    **dict.fromkeys(("F16", "BF16", "F32"), frozenset((1, 11))),
}
"""ONNX types to which Cast may convert numbers of a dtype without changing any."""

_LONGEST = 8
"""Most nodes in a row that are followed."""


class Tensor(Protocol):
    """A stored tensor of the model."""

    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Its extents."""

    @property
    def kind(self) -> str:
        """Name of its dtype in the safetensors format; "" if it is not read."""


class Names(Protocol):
    """The meaning of names in a graph, including the names of the graphs around it."""

    def step(self, name: str) -> tuple[Node, Settings] | None:
        """Return the node that computes a tensor, with attributes; None for other operators."""

    def stored(self, name: str) -> Tensor | None:
        """Return the stored tensor of a name; None if it is computed."""

    def chain(self, name: str) -> Chain | None:
        """Return the chain of the numbers of codes; None for any other name."""


Integers = Callable[[Tensor], tuple[int, ...] | None]
"""Function that reads a stored tensor of a few integers; None if it holds something else."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of nodes, up to the last followed node.

    Attributes
    ----------
    name : str
        Name, in the graph, of the stored tensor at the beginning of the chain.
    codes : Tensor
        That tensor.
    shape : tuple of int
        Extents of the numbers in the order of the file.
    order : tuple of int
        For each axis of the result, its axis in `shape`.
    scaled : tuple of int
        Extents of the codes at the nodes of scales and zeros, in the order of the file.
    scales_order : tuple of int
        Like `order`, for `scaled`.
    scales, zeros : str
        Names, in the graph, of the tensors of Mul and Sub; "" before these nodes.
    cast : int
        ONNX type of the result of the last Cast; 0 before a Cast.
    """

    name: str
    codes: Tensor
    shape: tuple[int, ...]
    order: tuple[int, ...]
    scaled: tuple[int, ...] = ()
    scales_order: tuple[int, ...] = ()
    scales: str = ""
    zeros: str = ""
    cast: int = 0

    @classmethod
    def of(cls, name: str, codes: Tensor) -> Chain:
        """Return the chain without a node."""
        return cls(name, codes, codes.shape, tuple(range(len(codes.shape))))

    @property
    def settings(self) -> dict[str, Setting]:
        """The extents and the order of axes that spread the scales over the codes."""
        return {"scaled": self.scaled, "order": self.scales_order, "shape": self.shape}

    @property
    def transposed(self) -> bool | None:
        """True if the last two axes are exchanged, None if the axes have another order."""
        same = tuple(range(len(self.shape)))
        if self.order == same:
            return False
        return True if self.order == (*same[:-2], *same[:-3:-1]) else None


def follow(names: Names, name: str, integers: Integers) -> Chain | None:
    """Return the chain that ends with a tensor; None unless it consists of codes and scales.

    Parameters
    ----------
    names : Names
        The graph.
    name : str
        A tensor that Mul computes.
    integers : callable
        Reads the shapes that Reshape takes.
    """
    passed: list[tuple[Node, Settings, int]] = []
    while (tensor := names.stored(name)) is None:
        step = names.step(name)
        if step is None or len(passed) == _LONGEST:
            return None
        place = _operand(names, step[0])
        passed.append((*step, place))
        name = step[0].input(place)
    if tensor.kind not in CODES:
        return None
    chain: Chain | None = Chain.of(name, tensor)
    for node, settings, place in reversed(passed):
        if chain is not None:
            chain = _next(chain, node, settings, node.input(1 - place), names, integers)
    return chain if chain is not None and chain.scales else None


def forwarded(names: Names, name: str, integers: Integers) -> Chain | None:
    """Return the chain of a node's input numbers; None if they do not come from codes.

    Nodes of :data:`PASSING` may lie between. If their effect on the places of numbers is not known,
    the order of the chain's axes is not used.
    """
    passed: list[tuple[Node, Settings]] = []
    while (chain := names.chain(name)) is None:
        step = names.step(name)
        if step is None or step[0].operator not in PASSING or len(passed) == _LONGEST:
            return None
        passed.append(step)
        name = step[0].input(0)
    moved_chain: Chain | None = chain
    for node, settings in reversed(passed):
        if moved_chain is not None and node.operator in MOVING:
            moved_chain = moved(moved_chain, node, settings, names, integers)
    return replace(chain, order=()) if moved_chain is None else moved_chain


def moved(
    chain: Chain, node: Node, settings: Settings, names: Names, integers: Integers
) -> Chain | None:
    """Return a chain after a node of :data:`MOVING`; None if the places of numbers are unknown."""
    if node.operator == "Identity":
        return chain
    count = len(chain.order)
    if node.operator == "Transpose":
        axes = settings.get("perm", tuple(reversed(range(count))))
        if not isinstance(axes, tuple) or sorted(axes) != list(range(count)):
            return None
        return replace(chain, order=tuple(chain.order[axis] for axis in axes))
    tensor = names.stored(node.input(1))
    wanted = None if tensor is None else integers(tensor)
    if wanted is None or chain.order != tuple(range(count)):
        return None
    shape = _reshaped(chain.shape, wanted, bool(settings.get("allowzero", 0)))
    return None if shape is None else replace(chain, shape=shape, order=tuple(range(len(shape))))


def source(names: Names, name: str) -> str | None:
    """Return the name of the stored tensor with a tensor's numbers; None if they are computed.

    Identity, and Casts that do not change any number, may lie between.
    """
    types: list[object] = []
    for _ in range(_LONGEST):
        if (tensor := names.stored(name)) is not None:
            return name if _KEPT.get(tensor.kind, frozenset()).issuperset(types) else None
        step = names.step(name)
        if step is None or step[0].operator not in ("Identity", "Cast"):
            return None
        types += [step[1].get("to")] if step[0].operator == "Cast" else []
        name = step[0].input(0)
    return None


def _operand(names: Names, node: Node) -> int:
    """Return the input of a node that may be codes; for Mul, the input that is not scales."""
    if node.operator != "Mul":
        return 0
    scales = source(names, node.input(0))
    tensor = None if scales is None else names.stored(scales)
    return int(tensor is not None and tensor.kind not in CODES)


def _next(
    chain: Chain, node: Node, settings: Settings, other: str, names: Names, integers: Integers
) -> Chain | None:
    """Return the chain with one more node; None if the node does something else with codes."""
    if node.operator in MOVING:
        return moved(chain, node, settings, names, integers)
    if node.operator == "Cast":
        to = settings.get("to")
        kept = not chain.scales and not (chain.zeros and chain.cast in _FLOATS)
        if not kept or not isinstance(to, int) or to not in _KEPT[chain.codes.kind]:
            return None
        return replace(chain, cast=to)
    met = replace(chain, scaled=chain.shape, scales_order=chain.order)
    stored = source(names, other)
    if not chain.cast or chain.scales or stored is None:
        return None
    if node.operator == "Sub":
        return None if chain.zeros else replace(met, zeros=stored)
    if chain.cast not in _FLOATS or (chain.zeros and met != chain):
        return None
    return replace(met, scales=stored)


def _reshaped(
    shape: tuple[int, ...], wanted: tuple[int, ...], zero_is_empty: bool
) -> tuple[int, ...] | None:
    """Return the shape that Reshape makes; None if it does not fit."""
    kept = (*shape, *(-1,) * len(wanted))  # an axis that is copied, but is not there
    sizes = [n or (0 if zero_is_empty else kept[k]) for k, n in enumerate(wanted)]
    known = prod(n for n in sizes if n != -1)
    if sizes.count(-1) == 1 and known > 0:
        sizes[sizes.index(-1)] = prod(shape) // known
    if any(n < 0 for n in sizes) or prod(sizes) != prod(shape):
        return None
    return tuple(sizes)
