# SPDX-License-Identifier: BSD-3-Clause
"""Changes that an adapter can have, by the headers of the base, and the reasons of all others.

What PEFT adapts depends on classes of layers, which a checkpoint does not name. Its shapes and
roles tell them apart but for a few cases: a kernel of a convolution with groups, which has fewer
inputs than the layer, looks like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from sigmascope.adapters.modules import heeds_fan_in_fan_out
from sigmascope.adapters.targets import EMBEDDING, KERNEL, LINEAR, STACK, Target
from sigmascope.adapters.writing import has_known_order
from sigmascope.checkpoint import Checkpoint, TensorRecord
from sigmascope.comparing.members import Member, Pair

_WEIGHT = ".weight"

EMBEDDINGS = ("embed", "positions", "token_types", "relative_positions")
"""Roles of matrices whose rows are looked up."""

_ROUTER = "router"
"""Role of matrices that transformers 5 has in modules of its own classes, which PEFT adapts by the
names of their parameters, as stacks of one matrix."""

_INPUTS_AS_ROWS = (
    *("gptoss", "gpt_oss", "openaiprivacyfilter", "openai_privacy_filter"),
    *("qwen3vlmoe", "qwen3_vl_moe"),
)
"""Models whose stacks (experts, inputs, outputs) PEFT multiplies as they are stored: their class
has `is_transposed`, or transformers 5 transposes them when it loads the file."""


@dataclass(frozen=True, slots=True)
class Layouts:
    """The facts of a base model that decide how PEFT adapts its weights.

    Attributes
    ----------
    transposed
        True if linear layers store inputs as rows: `fan_in_fan_out`.
    transposed_stacks
        True if the matrices of stacks have inputs as rows.
    ambiguous
        Stacked parameters whose order within their module is not known.
    """

    transposed: bool
    transposed_stacks: bool
    ambiguous: frozenset[str]

    @classmethod
    def of(cls, base: Checkpoint, transposed: bool) -> Self:
        """Collect the facts of a model."""
        modules: dict[str, list[str]] = {}
        for record in base.info():
            if record["status"] == "stack":
                module, _, own = record["name"].rpartition(".")
                modules.setdefault(module, []).append(own)
        ambiguous = (
            f"{module}.{own}"
            for module, names in modules.items()
            if not has_known_order(names)
            for own in names
        )
        named = (base.architecture or "").lower()
        return cls(transposed, named.startswith(_INPUTS_AS_ROWS), frozenset(ambiguous))

    def target(self, pair: Pair) -> Target | str:
        """Return the weight that an adapter changes, or the reason why it cannot have the change.

        `pair` is a pair of matrices.
        """
        assert pair.before is not None
        base = pair.before
        reason = next(_obstacles(pair, base), None) or next(self._obstacles(base.record), None)
        return self._of(base) if reason is None else reason

    def _obstacles(self, record: TensorRecord) -> Iterator[str]:
        name, shape, status = record["name"], record["shape"], record["status"]
        if status == "kernel" and shape[1] == 1 and shape[0] > 1:
            yield (
                "the kernel has one input: PEFT cannot merge a convolution with groups, "
                "and a checkpoint does not tell their number"
            )
        if status != "stack" and record["role"] != _ROUTER:
            return
        if "." not in name:
            yield "PEFT adapts no parameter of the model itself, only those of its modules"
        if self.transposed:
            yield "PEFT adapts no stacked parameters, and no routers, where fan_in_fan_out is set"
        if name in self.ambiguous:
            yield (
                "the module has several stacked parameters, and their order, which names the "
                "factors in PEFT, is not known"
            )

    def _of(self, base: Member) -> Target:
        record = base.record
        name, shape = record["name"], record["shape"]
        if record["status"] == "stack":
            index = int(base.name.removeprefix(name).strip("[]"))
            return Target(name, STACK, self.transposed_stacks, index=index, count=shape[0])
        module = name.removesuffix(_WEIGHT)
        if record["role"] == _ROUTER:
            return Target(name, STACK)
        if record["status"] == "kernel":
            return Target(module, KERNEL, kernel=shape[1:])
        if record["role"] in EMBEDDINGS:
            return Target(module, EMBEDDING, transposed=True)
        return Target(module, LINEAR, transposed=self.transposed and heeds_fan_in_fan_out(name))


def _obstacles(pair: Pair, base: Member) -> Iterator[str]:
    """List the reasons that do not depend on the model."""
    record = base.record
    stack = record["status"] == "stack" and len(record["shape"]) == 3
    if pair.rows is not None:
        yield "the two models have vocabularies of two sizes"
    if base.looked_up:
        yield f"the tensor is another name of {base.source}"
    if not stack and not record["name"].endswith(_WEIGHT):
        yield "the tensor is not the weight of a module"
    if base.name not in _names(record, stack):
        yield "the matrix is one of several in a stored tensor"


def _names(record: TensorRecord, stack: bool) -> Iterable[str]:
    """List the names that the matrices of a tensor have if none of them is cut."""
    name = record["name"]
    return (f"{name}[{index}]" for index in range(record["shape"][0])) if stack else (name,)
