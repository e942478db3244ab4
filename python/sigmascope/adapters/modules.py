# SPDX-License-Identifier: BSD-3-Clause
"""The changes in a file of adapter weights: A and B of every module, and tensors saved in full."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from sigmascope.checkpoint import Checkpoint, TensorRecord
from sigmascope.checkpoint.naming.roles import role_of

from .settings import Settings

PREFIX = "base_model.model."

_ADAPTER = r"(?:\.(?P<adapter>(?!bias\b|weight\b)\w+))?(?:\.weight)?"
_FACTOR = re.compile(rf"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB]){_ADAPTER}")
_MAGNITUDE = re.compile(rf"(?P<module>.+)\.lora_magnitude_vector{_ADAPTER}")
_READABLE = ("matrix", "kernel")

_HEADS = ("qa_outputs", "summary")
"""Names of linear heads of GPT-2 that have no role."""


@dataclass(frozen=True, slots=True)
class Module:
    """One change of an adapter.

    Attributes
    ----------
    name, weight : str
        Names of the change and of the weight in the base model.
    label : str or None
        Name of the adapter, if there are several.
    status : str
        "product", "whole" or "unreadable"; the latter two have a `reason`.
    A, B : str
        Names of the factors.
    scale, rank, alpha : float, int, float
        The product is scale B A; the scale is alpha / rank, or alpha / sqrt(rank) with rsLoRA.
    transposed : bool
        True if the weight is the transpose of the product.
    dtype, shape, nbytes, file, offset
        As in its record.
    note : str or None
        A remark.
    stored : str
        Name of the tensor that is saved in full.
    magnitude : str
        Name of the magnitudes of DoRA, whose change is known with a base; its status is
        "unreadable".
    parameter : bool
        True if PEFT adapts the weight by its own name (`target_parameters`).
    """

    name: str
    weight: str
    status: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    file: str
    offset: int
    label: str | None = None
    reason: str | None = None
    A: str = ""
    B: str = ""
    scale: float = 0.0
    alpha: float = 0.0
    rank: int = 0
    transposed: bool = False
    note: str | None = None
    stored: str = ""
    magnitude: str = ""
    parameter: bool = False


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
    """Return whether fan_in_fan_out counts for the weight of a layer: for all but heads.

    PEFT finds a torch.nn.Linear there, and does not transpose. Kernels are never transposed.
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
    found: list[_Pair | TensorRecord] = []
    for record in weights.info():
        name = record["name"].removeprefix(PREFIX)
        match = _FACTOR.fullmatch(name) or _MAGNITUDE.fullmatch(name)
        if match is None:
            found.append(record)
            continue
        key = match["module"], match["adapter"]
        if key not in pairs:
            found.append(pairs.setdefault(key, _Pair(*key)))
        pairs[key].take(match.groupdict(), record)
    settings.check_work(module for module, _ in pairs)
    several = len({adapter for _, adapter in pairs}) > 1
    for entry in found:
        if isinstance(entry, _Pair):
            yield _product(entry, settings, label or (entry.adapter if several else None))
        else:
            yield _saved_in_full(entry, label)


def _named(weight: str, label: str | None) -> str:
    return weight if label is None else f"{weight}[{label}]"


def _saved_in_full(record: TensorRecord, label: str | None) -> Module:
    name = record["name"].removeprefix(PREFIX)
    return Module(
        name=_named(name, label),
        weight=name.replace(".base_layer.", "."),
        status="whole",
        dtype=record["dtype"],
        shape=record["shape"],
        nbytes=record["nbytes"],
        file=record["file"],
        offset=record["offset"],
        label=label,
        stored=record["name"],
        reason="saved whole and not as a product (modules_to_save, or a bias)",
    )


def _product(pair: _Pair, settings: Settings, label: str | None) -> Module:
    known = [record for record in (pair.A, pair.B) if record is not None]
    weight = f"{pair.module}.weight"
    lost = Module(
        name=_named(weight, label),
        weight=weight,
        status="unreadable",
        dtype=known[0]["dtype"] if known else "",
        shape=known[0]["shape"] if known else (),
        nbytes=sum(record["nbytes"] for record in known),
        file=known[0]["file"] if known else "",
        offset=known[0]["offset"] if known else 0,
        label=label,
    )
    A, B = pair.A, pair.B
    if A is None or B is None:
        return replace(lost, reason=f"lora_{'A' if A is None else 'B'} is not there")
    for record in (A, B):
        if record["status"] not in _READABLE:
            return replace(lost, reason=f"{record['name']}: {record['reason'] or record['view']}")
    if reason := _other_form(pair, settings):
        return replace(lost, reason=reason)
    (r, n), (m, rank) = _flat(A["shape"]), _flat(B["shape"])
    if r != rank:
        shapes = f"{list(B['shape'])} and {list(A['shape'])}"
        return replace(lost, reason=f"B and A of shapes {shapes} have no product")
    parameter = _is_parameter(pair, settings)
    adapted = weight if parameter else pair.module
    said = settings.rank_of(adapted)
    note = None
    if said != r:
        if not settings.ranks:
            return replace(lost, reason=f"rank {r} by its shape, {said} by the settings")
        note = f"{weight}: rank {r} by its shape, {said} by rank_pattern; the shape counts"
    heeds = heeds_fan_in_fan_out(weight) and len(A["shape"]) == 2 and not parameter
    transposed = pair.embedding or (settings.transposed and heeds)
    found = replace(
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
        parameter=parameter,
    )
    return _scaled(found, pair, m) if settings.dora or pair.magnitude else found


def _scaled(found: Module, pair: _Pair, outputs: int) -> Module:
    """Return the change of DoRA, which is known only together with the weight of a base."""
    magnitude, lost = pair.magnitude, replace(found, status="unreadable")
    if magnitude is None:
        return replace(lost, reason="DoRA: lora_magnitude_vector is not there")
    if pair.embedding:
        return replace(lost, reason="DoRA of an embedding is not computed")
    if prod(magnitude["shape"]) != outputs:
        shape = list(magnitude["shape"])
        return replace(lost, reason=f"DoRA: magnitudes of shape {shape} for {outputs} outputs")
    reason = (
        "DoRA: the outputs of the changed weight are scaled as well, "
        "so that the change is known only in a comparison with the base"
    )
    nbytes = found.nbytes + magnitude["nbytes"]
    return replace(lost, reason=reason, nbytes=nbytes, magnitude=magnitude["name"])


def _other_form(pair: _Pair, settings: Settings) -> str | None:
    """Return the reason why a change is no plain product of its factors, or None."""
    module = re.sub(r"(?:\.base_layer)+$", "", pair.module)
    if _is_parameter(pair, settings):
        return None
    if settings.stacked and not settings.stacked.isdisjoint(_ends(module)):
        return "target_parameters: the products of a stacked parameter are not taken apart"
    return None


def _is_parameter(pair: _Pair, settings: Settings) -> bool:
    """Return whether the weight of a module is adapted by its own name, and is one matrix.

    The factors of a stack have more rows than its rank.
    """
    weight = f"{pair.module}.weight"
    named = bool(settings.parameters) and not settings.parameters.isdisjoint(_ends(weight))
    return named and pair.A is not None and pair.A["shape"][0] == settings.rank_of(weight)


def _ends(name: str) -> Iterator[str]:
    """List a name and all its suffixes that follow a dot."""
    yield name
    while "." in name:
        name = name.partition(".")[2]
        yield name


def _flat(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return rows and columns of a factor; all axes but the first of a convolution are columns."""
    return shape[0], prod(shape[1:])
