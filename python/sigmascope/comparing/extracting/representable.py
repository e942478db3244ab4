# SPDX-License-Identifier: BSD-3-Clause
"""Decide from the headers of the base which changes an adapter can hold, with reasons for others.

PEFT adapts layers according to their classes, which a checkpoint does not name. Shapes and roles
distinguish the classes with few exceptions: the kernel of a convolution with groups has fewer
inputs than its layer, and looks like any other kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from sigmascope.adapters.modules import heeds_fan_in_fan_out
from sigmascope.adapters.orientation import has_transposed_products
from sigmascope.adapters.parameters import has_known_order
from sigmascope.adapters.targets import EMBEDDING, KERNEL, LINEAR, STACK, Target
from sigmascope.adapters.whole import FLOATS, STORED, Whole, is_bias
from sigmascope.checkpoint import Checkpoint
from sigmascope.checkpoint.record import TensorRecord
from sigmascope.comparing.members import Member, Pair

_WEIGHT = ".weight"

EMBEDDINGS = ("embed", "positions", "token_types", "relative_positions")
"""Roles of matrices whose rows are looked up."""

_DENSE = ("gate_proj", "up_proj", "down_proj", "w1", "w2", "w3")
"""Names of linear layers that PEFT, with transformers 5, mistakes for layers of experts in models
with experts. It does not change the names of their parameters (`target_parameters`)."""

_RENAMED = (".input_linear.weight", ".output_linear.weight", ".router.layer.weight")
"""Ends of names of parameters that transformers 5 loads under other names."""

_MAMBA = (
    *("mamba", "falconmamba", "falcon_mamba"),
    *("falconh1", "falcon_h1", "nemotronh", "nemotron_h"),
)
"""Models in which PEFT refuses to adapt `out_proj` and `conv1d`."""

_LEFT_OUT = ("qwen2moe", "qwen2_moe")
"""Models for which PEFT 0.21 omits the factors of experts that are separate matrices."""

_PLAIN = {f"{status} of {dtype}" for status in ("vector", "scalar", "integer") for dtype in STORED}
"""Tensors that a module may have if it is saved whole."""


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
    tensors
        Names, statuses and formats of all tensors by their modules.
    experts
        True if there are experts, stacked or separate.
    model
        Architecture of the model, in lower case.
    """

    transposed: bool
    transposed_stacks: bool
    ambiguous: frozenset[str]
    tensors: Mapping[str, Mapping[str, tuple[str, str]]]
    experts: bool
    model: str

    @classmethod
    def of(cls, base: Checkpoint, transposed: bool) -> Self:
        """Collect the facts of a model."""
        tensors: dict[str, dict[str, tuple[str, str]]] = {}
        for record in base.info():
            module, _, own = record["name"].rpartition(".")
            tensors.setdefault(module, {})[own] = record["status"], record["dtype"]
        stacks = {
            module: [own for own, (status, _) in members.items() if status == "stack"]
            for module, members in tensors.items()
        }
        ambiguous = (
            f"{module}.{own}"
            for module, names in stacks.items()
            if not has_known_order(names)
            for own in names
        )
        model = (base.architecture or "").lower()
        as_rows = has_transposed_products(base)
        experts = any(stacks.values()) or any(each["expert"] is not None for each in base.info())
        return cls(transposed, as_rows, frozenset(ambiguous), tensors, experts, model)

    def whole(self, pair: Pair) -> Whole | str:
        """Return the tensor that an adapter stores in full, or the reason why it cannot.

        `pair` is a pair of tensors other than matrices.
        """
        assert pair.before is not None
        assert pair.after is not None
        record = pair.before.record
        module, _, own = record["name"].rpartition(".")
        kinds = {record["dtype"], pair.after.record["dtype"]}
        if not kinds <= {*FLOATS} or record["status"] not in ("vector", "scalar"):
            return f"PEFT does not support a {record['status']} of {record['dtype']}"
        if not module:
            return "PEFT saves only modules, not parameters of the model itself"
        if pair.before.looked_up:
            return f"the tensor is another name of {pair.before.source}"
        if not is_bias(own) and (reason := self._unsaved(module)) is not None:
            return reason
        return Whole(module, own)

    def companions(self, module: str) -> list[str]:
        """List the tensors of a module that is saved whole, by their names within the module."""
        return list(self.tensors[module])

    def _unsaved(self, module: str) -> str | None:
        """Return the reason why PEFT cannot save a module, or None."""
        kinds = [f"{status} of {dtype}" for status, dtype in self.tensors[module].values()]
        if any(other.startswith(f"{module}.") for other in self.tensors):
            return f"PEFT saves modules whole, and {module} contains others"
        strange = next((kind for kind in kinds if kind not in _PLAIN), None)
        if strange is not None:
            return f"PEFT saves modules whole, and {module} has a {strange}"
        same = next((other for other in self.tensors if _is_saved_with(other, module)), None)
        return None if same is None else f"PEFT would save {same} with {module}, by its name"

    def target(self, pair: Pair) -> Target | str:
        """Return the weight that an adapter changes, or why it cannot hold the change.

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
                "the kernel has one input: PEFT cannot merge a convolution with groups, and a "
                "checkpoint does not record their number"
            )
        own = name.removesuffix(_WEIGHT).rpartition(".")[2]
        if self.model.startswith(_MAMBA) and own in ("out_proj", "conv1d"):
            yield f"PEFT does not adapt {own} of models of this kind"
        expert = record["expert"] is not None and status == "matrix"
        if self.model.startswith(_LEFT_OUT) and expert:
            yield "PEFT does not adapt experts of this model that are separate matrices"
        if status != "stack" and not self._is_parameter(record):
            return
        if "." not in name:
            yield "PEFT adapts only the parameters of modules, not those of the model itself"
        if self.transposed:
            yield "PEFT adapts neither stacked parameters nor routers if fan_in_fan_out is set"
        if name in self.ambiguous:
            yield (
                "the module has several stacked parameters, and their order, which names the "
                "factors in PEFT, is unknown"
            )
        if name.endswith(_RENAMED):
            yield "transformers 5 loads the parameter under another name"
        parent = name.rpartition(".")[0]
        if any(other.startswith(f"{parent}.") for other in self.tensors):
            yield f"PEFT cannot merge a change of a parameter of {parent}, which contains modules"

    def _is_parameter(self, record: TensorRecord) -> bool:
        """Return whether PEFT adapts a matrix by the name of the parameter.

        Routers have separate classes in transformers 5. Mixtral's router has another name in files,
        and PEFT knows it as a module by that name.
        """
        if not record["name"].endswith(_WEIGHT) or record["status"] != "matrix":
            return False
        own = record["name"].removesuffix(_WEIGHT).rpartition(".")[2]
        if record["role"] == "router" or own == "router":
            return not record["name"].endswith("block_sparse_moe.gate.weight")
        return self.experts and own in _DENSE and record["expert"] is None

    def _of(self, base: Member) -> Target:
        record = base.record
        name, shape = record["name"], record["shape"]
        if record["status"] == "stack":
            index = int(base.name.removeprefix(name).strip("[]"))
            return Target(name, STACK, self.transposed_stacks, index=index, count=shape[0])
        module = name.removesuffix(_WEIGHT)
        if self._is_parameter(record):
            return Target(name, STACK)
        if record["status"] == "kernel":
            return Target(module, KERNEL, kernel=shape[1:])
        if record["role"] in EMBEDDINGS:
            return Target(module, EMBEDDING, transposed=True)
        return Target(module, LINEAR, transposed=self.transposed and heeds_fan_in_fan_out(name))


def _is_saved_with(other: str, module: str) -> bool:
    """Return whether PEFT finds the name of a saved module within the name of another module."""
    return other != module and (other.endswith(module) or f".{module}." in f".{other}.")


def _obstacles(pair: Pair, base: Member) -> Iterator[str]:
    """List the reasons against a change that do not depend on the model."""
    record = base.record
    stack = record["status"] == "stack" and len(record["shape"]) == 3
    if pair.rows is not None:
        yield "the two models have vocabularies of different sizes"
    if base.looked_up:
        yield f"the tensor is another name of {base.source}"
    if not stack and not record["name"].endswith(_WEIGHT):
        yield "the tensor is not the weight of a module"
    if base.name not in _names(record, stack):
        yield "the matrix is one of several in a stored tensor"


def _names(record: TensorRecord, stack: bool) -> Iterable[str]:
    """List the names of a tensor's matrices if they are not cut."""
    name = record["name"]
    return (f"{name}[{index}]" for index in range(record["shape"][0])) if stack else (name,)
