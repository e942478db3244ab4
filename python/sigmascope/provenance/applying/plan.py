# SPDX-License-Identifier: BSD-3-Clause
"""The tensors to write: where each is in the base, and which donors change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sigmascope import Checkpoint, open_checkpoint
from sigmascope.adapters import Circuits
from sigmascope.errors import CheckpointError
from sigmascope.extension.pairs import Scannable
from sigmascope.extension.readers import is_integer
from sigmascope.extension.safetensors import Header, TensorEntry, read_header

from .codes import NAMES, WIDTHS
from .pairing import Element, ProductSlab, pair_adapter, pair_model, pair_whole


@dataclass
class TensorPlan:
    """One tensor of the base, as it is stored and as it is written.

    Attributes
    ----------
    header, entry
        Its place in a file of the base.
    dtype
        The format to write.
    slabs
        Changes of its matrices by adapters, by the index of the donor.
    models
        The same tensor in other models, by the index of the donor.
    replaced_by
        Index of the adapter that saves the tensor in full, if there is one.
    """

    header: Header
    entry: TensorEntry
    dtype: str
    slabs: list[ProductSlab] = field(default_factory=list)
    models: dict[int, Element] = field(default_factory=dict)
    replaced_by: int | None = None

    @property
    def name(self) -> str:
        """Name of the tensor."""
        return self.entry.name

    @property
    def numbers(self) -> int:
        """Count of numbers; 0 for a tensor that is copied as bytes."""
        return self.entry.nbytes // WIDTHS.get(self.entry.dtype, self.entry.nbytes + 1)

    @property
    def nbytes(self) -> int:
        """Bytes of the written tensor."""
        if self.is_copied:
            return self.entry.nbytes
        return self.numbers * WIDTHS[self.dtype]

    @property
    def donors(self) -> list[int]:
        """Indices of the donors that change it."""
        return sorted({*self.models, *(slab.donor for slab in self.slabs)})

    @property
    def is_copied(self) -> bool:
        """True if its bytes are those of the base."""
        return not self.donors and self.dtype == self.entry.dtype


def open_base(base: Scannable) -> Checkpoint:
    """Return the base with fused weights in one piece, as they are stored.

    Raises
    ------
    ValueError
        If it is an adapter, or its tensors are in memory.
    """
    if not isinstance(base, Checkpoint):
        raise ValueError(f"base: {base.path} is an adapter, not a checkpoint")
    if base.in_memory:
        raise ValueError("base: the tensors are in memory; give the path of a safetensors model")
    paths = base.origin.paths
    if len(paths) != 1:
        raise ValueError(f"base: {base.path} is in {len(paths)} ranks; join them first")
    return open_checkpoint(
        paths[0], split_fused=False, reading=base.reading, variant=base.origin.variant
    )


def plan_tensors(
    base: Checkpoint, donors: Sequence[Scannable], dtype: str | None
) -> list[TensorPlan]:
    """Return the tensors to write, in the order of the base.

    Parameters
    ----------
    base
        The base, with fused weights in one piece.
    donors
        Adapters and models.
    dtype
        Format of all weights in the written file, or None for that of each in the base.

    Raises
    ------
    ValueError
        If a change cannot be carried to the base, or a changed tensor is stored in codes.
    CheckpointError
        If a file of the base is not in the safetensors format.
    """
    records = {record["name"]: record for record in base.info()}
    plans: dict[str, TensorPlan] = {}
    for path in base.files:
        header = read_header(path)
        for entry in header.entries:
            status = records[entry.name]["status"] if entry.name in records else "other"
            written = entry.dtype
            if dtype is not None and entry.dtype in WIDTHS and status not in ("scale", "part"):
                written = dtype
            plans[entry.name] = TensorPlan(header, entry, written)
    missing = [name for name in records if name not in plans]
    if missing:
        raise CheckpointError(f"{base.path}: {missing[0]} is not in its safetensors files")
    ordered = [plans[name] for name in records]
    for index, donor in enumerate(donors):
        if isinstance(donor, Checkpoint):
            models = pair_model(base, donor, [plan.entry for plan in ordered], f"donor {index + 1}")
            for name, element in models.items():
                plans[name].models[index] = element
        elif isinstance(donor, Circuits):
            raise ValueError(f"{donor.path} was opened with circuits, not for its weights")
        else:
            for name, slab in pair_adapter(base, donor, index):
                plans[name].slabs.append(slab)
            entries = [plan.entry for plan in ordered]
            for name, element in pair_whole(base, donor, entries, f"donor {index + 1}").items():
                plans[name].models[index] = element
                plans[name].replaced_by = index
    for plan in ordered:
        check_formats(plan)
    return ordered


def check_replaced(plans: Sequence[TensorPlan], weights: Sequence[float]) -> None:
    """Raise ValueError if a tensor that an adapter saves in full is not written as it is."""
    for plan in plans:
        index = plan.replaced_by
        if index is None:
            continue
        adapter = f"donor {index + 1} saves {plan.name} in full"
        if len(plan.donors) > 1:
            raise ValueError(f"{adapter}, and another donor changes it: apply one of them first")
        if weights[index] != 1:
            raise ValueError(
                f"{adapter}, which replaces that of the base: its weight must be 1, not "
                f"{weights[index]:g}"
            )


def check_formats(plan: TensorPlan) -> None:
    """Raise ValueError if a changed tensor cannot be rounded to its format."""
    if plan.is_copied:
        return
    stored = plan.entry.dtype
    if stored not in WIDTHS or (stored not in NAMES and plan.dtype == stored):
        kind = "integers or codes" if is_integer(stored) or stored not in WIDTHS else "float64"
        raise ValueError(
            f"{plan.name} of {plan.header.path} is stored as {stored}: a change cannot be added to "
            f"{kind}; " + ("give a dtype" if stored in WIDTHS else "use the unquantised base")
        )


def side_files(base: Checkpoint) -> list[Path]:
    """Return configuration and tokenizer files next to the weights of a base on this machine."""
    folders = {path.parent for path in base.files if isinstance(path, Path)}
    names = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.py")
    chosen: list[Path] = []
    for folder in sorted(folders)[:1]:
        for pattern in names:
            chosen += (path for path in folder.glob(pattern) if path.is_file())
    return sorted(path for path in set(chosen) if not _is_of_weights(path))


def _is_of_weights(path: Path) -> bool:
    return path.name.endswith(".index.json") or path.name.startswith(("adapter_config", "."))


def header_of_tensors(plans: Sequence[TensorPlan]) -> Mapping[str, Any]:
    """Return the entries of a safetensors header for tensors that follow each other."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for plan in plans:
        end = offset + plan.nbytes
        header[plan.name] = {
            "dtype": plan.dtype,
            "shape": list(plan.entry.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    return header
