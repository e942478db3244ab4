# SPDX-License-Identifier: BSD-3-Clause
"""The changes in a file of adapter weights: A and B of each module, and tensors saved in full."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from sigmascope.checkpoint import Checkpoint
from sigmascope.checkpoint.naming.roles import role_of
from sigmascope.checkpoint.record import TensorRecord

from .module import Module, name_of
from .parameters import Parameter, parameters_of
from .settings import Settings
from .stacks import matrices_of_stack, misfit

PREFIX = "base_model.model."

_ADAPTER = r"(?:\.(?P<adapter>(?!bias\b|weight\b)\w+))?(?:\.weight)?"
_FACTOR = re.compile(rf"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB]){_ADAPTER}")
_MAGNITUDE = re.compile(rf"(?P<module>.+)\.lora_magnitude_vector{_ADAPTER}")
_READABLE = ("matrix", "kernel")

_HEADS = ("qa_outputs", "summary")
"""Names of GPT-2's linear heads without a role."""


@dataclass(slots=True)
class _Pair:
    """The tensors of one module."""

    module: str
    adapter: str | None
    embedding: bool = False
    A: TensorRecord | None = None
    B: TensorRecord | None = None
    magnitude: TensorRecord | None = None

    def take(self, fields: Mapping[str, str | None], record: TensorRecord) -> None:
        """Add a tensor as A, B or magnitude."""
        self.embedding |= fields.get("embedding") is not None
        if "side" not in fields:
            self.magnitude = record
        elif fields["side"] == "A":
            self.A = record
        else:
            self.B = record


def heeds_fan_in_fan_out(weight: str) -> bool:
    """Return whether fan_in_fan_out applies to the weight of a layer: to all except heads.

    A head is a torch.nn.Linear, which PEFT does not transpose. Kernels are never transposed.
    """
    module = weight.removesuffix(".weight").rpartition(".")[2]
    return role_of(weight).role not in ("unembed", "classifier") and module not in _HEADS


def modules_of(weights: Checkpoint, settings: Settings, label: str | None) -> Iterator[Module]:
    """List the changes that a file of adapter weights holds, in file order.

    Parameters
    ----------
    label : str or None
        The name of this adapter, if there are several.
    """
    pairs: dict[tuple[str, str | None], _Pair] = {}
    entries: list[_Pair | TensorRecord] = []
    for record in weights.info():
        name = record["name"].removeprefix(PREFIX)
        match = _FACTOR.fullmatch(name) or _MAGNITUDE.fullmatch(name)
        if match is None:
            entries.append(record)
            continue
        key = match["module"], match["adapter"]
        if key not in pairs:
            entries.append(pairs.setdefault(key, _Pair(*key)))
        pairs[key].take(match.groupdict(), record)
    modules = [module for module, _ in pairs]
    settings.check_work(modules)
    several = len({adapter for _, adapter in pairs}) > 1
    parameters = parameters_of(
        {key: None if pair.A is None else (*pair.A["shape"], 0)[0] for key, pair in pairs.items()},
        {key: settings.rank_of(key[0]) for key in pairs} if settings.parameters else {},
        settings.parameters,
    )
    settings.check_work([*modules, *(parameter.name for parameter in parameters.values())])
    for entry in entries:
        if isinstance(entry, _Pair):
            own = label or (entry.adapter if several else None)
            parameter = parameters.get((entry.module, entry.adapter))
            yield from _changes(entry, settings, own, parameter)
        else:
            yield _saved_in_full(entry, label)


def _saved_in_full(record: TensorRecord, label: str | None) -> Module:
    name = record["name"].removeprefix(PREFIX)
    return Module(
        name=name_of(name, label),
        weight=name.replace(".base_layer.", "."),
        status="whole",
        dtype=record["dtype"],
        shape=record["shape"],
        nbytes=record["nbytes"],
        file=record["file"],
        offset=record["offset"],
        label=label,
        stored=record["name"],
        reason="saved whole, not as a product (modules_to_save, or a bias)",
    )


def _changes(
    pair: _Pair, settings: Settings, label: str | None, parameter: Parameter | None
) -> Iterator[Module]:
    """List the change by two factors, or the changes of a stack's matrices."""
    known = [record for record in (pair.A, pair.B) if record is not None]
    weight = f"{pair.module}.weight" if parameter is None else parameter.name
    lost = Module(
        name=name_of(weight, label),
        weight=weight,
        status="unreadable",
        dtype=known[0]["dtype"] if known else "",
        shape=known[0]["shape"] if known else (),
        nbytes=sum(record["nbytes"] for record in known),
        file=known[0]["file"] if known else "",
        offset=known[0]["offset"] if known else 0,
        label=label,
        parameter=parameter is not None,
    )
    A, B = pair.A, pair.B
    if A is None or B is None:
        yield replace(lost, reason=f"lora_{'A' if A is None else 'B'} is missing")
        return
    for record in (A, B):
        if record["status"] not in _READABLE:
            yield replace(lost, reason=f"{record['name']}: {record['reason'] or record['view']}")
            return
    if parameter is None:
        yield _product(lost, pair, A, B, settings)
        return
    reason = parameter.reason or misfit(A, B, settings, weight)
    if settings.dora or pair.magnitude:
        reason = "DoRA of a parameter that is adapted by its name is not supported"
    if reason is not None:
        yield replace(lost, reason=reason)
    elif A["shape"][0] == settings.rank_of(weight):
        yield _product(lost, pair, A, B, settings)
    else:
        yield from matrices_of_stack(lost, A, B, settings)


def _product(
    lost: Module, pair: _Pair, A: TensorRecord, B: TensorRecord, settings: Settings
) -> Module:
    """Return the change by two factors."""
    weight, (r, n), (m, rank) = lost.weight, _flat(A["shape"]), _flat(B["shape"])
    if r != rank:
        shapes = f"{list(B['shape'])} and {list(A['shape'])}"
        return replace(lost, reason=f"B and A of shapes {shapes} have no product")
    adapted = weight if lost.parameter else pair.module
    said = settings.rank_of(adapted)
    note = None
    if said != r:
        if not settings.ranks:
            return replace(lost, reason=f"rank {r} by its shape, but {said} by the settings")
        note = f"{weight}: rank {r} by its shape, but {said} by rank_pattern; the shape is used"
    heeds = heeds_fan_in_fan_out(weight) and len(A["shape"]) == 2 and not lost.parameter
    transposed = pair.embedding or (settings.transposed and heeds)
    module = replace(
        lost,
        status="product",
        dtype=A["dtype"] if A["dtype"] == B["dtype"] else "mixed",
        shape=(n, m) if transposed else (m, n),
        A=A["name"],
        B=B["name"],
        scale=settings.scale_of(adapted, r),
        alpha=settings.alpha_of(adapted),
        rank=r,
        transposed=transposed,
        note=note,
    )
    return _scaled(module, pair, m) if settings.dora or pair.magnitude else module


def _scaled(module: Module, pair: _Pair, outputs: int) -> Module:
    """Return the change of DoRA, which depends on the weight of a base."""
    magnitude, lost = pair.magnitude, replace(module, status="unreadable")
    if magnitude is None:
        return replace(lost, reason="DoRA: lora_magnitude_vector is missing")
    if pair.embedding:
        return replace(lost, reason="DoRA of an embedding is not supported")
    if prod(magnitude["shape"]) != outputs:
        shape = list(magnitude["shape"])
        return replace(lost, reason=f"DoRA: magnitudes of shape {shape} for {outputs} outputs")
    reason = (
        "DoRA: the outputs of the changed weight are scaled too, "
        "so the change can only be computed in a comparison with the base"
    )
    nbytes = module.nbytes + magnitude["nbytes"]
    return replace(lost, reason=reason, nbytes=nbytes, magnitude=magnitude["name"])


def _flat(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return a factor's rows and columns; in a convolution, all axes but the first are columns."""
    return shape[0], prod(shape[1:])
