# SPDX-License-Identifier: BSD-3-Clause
"""Changes of donors, each with the place of the stored numbers that it changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sigmascope import Checkpoint, LowRank
from sigmascope.adapters import Adapter
from sigmascope.extension.pairs import Changes, Elements, changes, delta_of, linked, members
from sigmascope.extension.readers import is_integer
from sigmascope.extension.safetensors import TensorEntry
from sigmascope.provenance.merges.exact import unlike

from .codes import WIDTHS

Element = Elements
"""The numbers of a tensor in another model."""


@dataclass(frozen=True)
class ProductSlab:
    """The change of one matrix of a stored tensor by an adapter.

    Attributes
    ----------
    donor
        Index of the donor.
    start
        Index of the matrix's first number in the tensor.
    shape
        Rows and columns, as they are stored.
    adapter, base, name, change
        What makes the product: the adapter, and names of the matrix and of its change.
    is_transposed
        True if the matrix is the transpose of its stored numbers.
    """

    donor: int
    start: int
    shape: tuple[int, int]
    adapter: Adapter
    base: Checkpoint
    name: str
    change: str
    is_transposed: bool

    def product(self) -> LowRank:
        """Return the change in the orientation of the stored numbers."""
        delta = delta_of(self.base, self.name, self.adapter, self.change)
        return delta.T if self.is_transposed else delta


def pair_adapter(
    base: Checkpoint, adapter: Adapter, donor: int
) -> Iterator[tuple[str, ProductSlab]]:
    """Give each changed tensor of the base, and the change of one of its matrices.

    Raises
    ------
    ValueError
        If a change fits no weight, is not a product, or holds numbers that are not finite.
    """
    links = changes(base, adapter)
    if links.scaled:
        name, change, _ = links.scaled[0]
        raise ValueError(
            f"{adapter.path}: {change} is a DoRA change, which rescales {name} by the norms of its "
            "outputs; apply does not support it: merge it with PEFT"
        )
    unpaired = {c: why for c, why in links.unpaired.items() if not _is_whole(links, c)}
    if unpaired:
        change, reason = next(iter(unpaired.items()))
        raise ValueError(
            f"{adapter.path}: {len(unpaired)} changes cannot be carried to {base.path}: "
            f"{change}: {reason}"
        )
    if not links.pairs and not links.unpaired:
        raise ValueError(f"{adapter.path} has no changes")
    records = {record["name"]: record for record in base.info()}
    names: set[str] = set()
    for name, change, _ in links.pairs:
        if name in names:
            raise ValueError(
                f"{adapter.path} changes {name} more than once: give one adapter at a time, as the "
                "folder of that adapter"
            )
        names.add(name)
        view = base.view_of(name)
        record = records[view.tensor]
        extent = view.grid[0][0]
        width = WIDTHS.get(record["dtype"])
        is_plain = len(view.grid) == len(view.grid[0]) == 1 and not extent.scaled
        strides = None, extent.stored_shape[1] * (width or 0)
        if width is None or not is_plain or view.cut or extent.row_stride not in strides:
            raise ValueError(
                f"{name} of {record['file']} is stored as {record['dtype']} ({record['view']}): a "
                "change cannot be added to its codes; use the unquantised base"
            )
        _check_factors(adapter, change)
        start = (extent.offset - record["offset"]) // width
        place = start, extent.stored_shape
        yield (
            view.tensor,
            ProductSlab(donor, *place, adapter, base, name, change, extent.transposed),
        )


def _is_whole(links: Changes, change: str) -> bool:
    return change in links.tensors and links.adapter.record_of(change)["status"] == "whole"


def pair_whole(
    base: Checkpoint, adapter: Adapter, entries: Sequence[TensorEntry], where: str
) -> dict[str, Elements]:
    """Return the numbers of each tensor of the base that an adapter saves in full.

    Raises
    ------
    ValueError
        If a tensor has another shape or kind of numbers than that of the base, is saved twice, or
        is saved beside its change and is not that of the base.
    """
    links = changes(base, adapter)
    by_name = {entry.name: entry for entry in entries}
    changed = {base.view_of(name).tensor for name, _, _ in links.pairs}
    whole: dict[str, Elements] = {}
    for change in links.unpaired:
        if not _is_whole(links, change):
            continue
        name, elements = links.tensors[change], adapter.elements(change)
        if name in changed:  # beside its change, a copy of the base's tensor
            own = base.elements(name)
            problem = "the base has no such tensor" if own is None else unlike(own, elements)
            if problem is not None:
                raise ValueError(
                    f"{where} ({adapter.path}) changes a copy of its own, {change}: {problem}"
                )
            continue
        entry = by_name.get(name)
        problem = "the base has no such tensor" if entry is None else _misfit(entry, elements)
        if problem is None and (elements is None or elements.integer):
            problem = "its numbers are not floating-point numbers"
        if name in whole:
            problem = "the adapter saves it twice"
        if problem is not None:
            raise ValueError(f"{where} ({adapter.path}): {change} cannot replace {name}: {problem}")
        assert elements is not None
        whole[name] = elements
    return whole


def _check_factors(adapter: Adapter, change: str) -> None:
    product = adapter[change]
    for factor, letter in ((product.A, "A"), (product.B, "B")):
        if not np.isfinite(np.asarray(factor)).all():
            raise ValueError(
                f"{adapter.path}: factor {letter} of {change} has NaN or infinite numbers"
            )
    if not np.isfinite(product.scale):
        raise ValueError(f"{adapter.path}: the scale of {change} is {product.scale}")


def pair_model(
    base: Checkpoint, model: Checkpoint, entries: Sequence[TensorEntry], where: str
) -> dict[str, Elements]:
    """Return the numbers of another model for each tensor of floating-point numbers.

    Raises
    ------
    ValueError
        If a tensor is missing in one of both, has another shape, is stored in codes, or is a
        tensor of integers that differs.
    """
    partners: dict[str, str] = {}
    for pair in linked(list(members(base)), list(members(model))):
        first, second = pair.before, pair.after
        if first is None or second is None:
            lone = first or second
            assert lone is not None
            lacking = "the base" if first is None else f"{where} ({model.path})"
            raise ValueError(f"{lone.name} has no partner in {lacking}: {pair.reason}")
        partners[first.record["name"]] = second.source or second.record["name"]
    models: dict[str, Elements] = {}
    for entry in entries:
        name = partners[entry.name]
        elements, own = model.elements(name), base.elements(entry.name)
        problem = _misfit(entry, elements)
        if problem is None and elements is not None and is_integer(entry.dtype):
            assert own is not None
            same = all(np.array_equal(a, b) for a, b in zip(own, elements, strict=True))
            problem = None if same else "its integers differ from those of the base"
        elif problem is None and elements is not None:
            models[entry.name] = elements
        if problem is not None:
            raise ValueError(f"{where} ({model.path}): {name} cannot be added: {problem}")
    return models


def _misfit(entry: TensorEntry, elements: Elements | None) -> str | None:
    if 0 in entry.shape:
        return None
    if elements is None:
        return "its numbers are stored in codes"
    if elements.shape != entry.shape:
        return f"its shape is {list(elements.shape)}, that of the base {list(entry.shape)}"
    if len(elements.pieces) != 1 or elements.order is not None:
        return "it is stored in another order"
    if is_integer(entry.dtype) != elements.integer:
        return f"it is stored as {elements.dtype}, in the base as {entry.dtype}"
    if entry.dtype not in WIDTHS and not elements.integer:
        return f"the base stores it as {entry.dtype}"
    return None
