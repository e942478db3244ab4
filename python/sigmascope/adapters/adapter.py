# SPDX-License-Identifier: BSD-3-Clause
"""An adapter as a mapping from names of changed weights to low-rank products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.keywords import similar
from sigmascope.analysis.low_rank import LowRank
from sigmascope.checkpoint import Checkpoint, open_checkpoint
from sigmascope.checkpoint.elements import Elements
from sigmascope.checkpoint.formats.hub import snapshot_of
from sigmascope.checkpoint.naming.roles import Role, roles_of
from sigmascope.checkpoint.naming.rules import rules_for
from sigmascope.checkpoint.naming.table import Table
from sigmascope.checkpoint.record import TensorRecord
from sigmascope.checkpoint.remote.paths import Place, RemotePath
from sigmascope.errors import CheckpointError
from sigmascope.matrices.byte_source import ByteSource

from .folders import adapter_folders
from .module import Module
from .modules import modules_of
from .settings import NAME, read_settings
from .shared_reads import LastRead, shared_matrix

_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


class AdapterOrigin(NamedTuple):
    """Absolute path and options of `open_adapter`, from which it can be opened again."""

    path: str | RemotePath
    rules: Table | None
    reading: str


class Terms(NamedTuple):
    """Rank r, alpha and scale s of a change s B A: s is alpha / r, or alpha / sqrt(r)."""

    rank: int
    alpha: float
    scale: float


class Adapter(Mapping[str, LowRank]):
    """The changes of one or several LoRA adapters: products B A by weight names.

    The name of a change is the name of the weight in the base model,
    `model.layers.0.self_attn.q_proj.weight`. If there are several adapters, the name of the adapter
    follows in brackets: `…q_proj.weight[second]`. The matrices of a stack that is adapted as one
    parameter are numbered: `…experts.down_proj[0]`. :func:`sigmascope.scan` takes an adapter like a
    checkpoint. A pickle holds the path, and unpickling opens it again.

    Attributes
    ----------
    path : Path or RemotePath
        The path that was opened.
    files : tuple of Path or RemotePath
        Weights and settings of each adapter.
    roles : mapping of str to Role
        The role of every changed weight.
    unreadable : mapping of str to str
        Changes that are incomplete, or not a plain product (DoRA), with the reason.
    notes, bases : tuple of str
        Remarks on the adapters; paths or names of the base models, from the settings.
    reading, origin
        File mode for reading factors; the argument of
        :func:`~sigmascope.adapters.scannable.reopened`.
    """

    def __init__(self, path: Place, origin: AdapterOrigin) -> None:
        self.path, self.origin, self.reading = path, origin, origin.reading
        root = snapshot_of(Path(origin.path)) if isinstance(origin.path, str) else origin.path
        folders = adapter_folders(root)
        self._last_read = LastRead()
        self._modules: dict[str, Module] = {}
        self._weights: dict[str, Checkpoint] = {}
        self._checkpoints: list[Checkpoint] = []
        files: list[Place] = []
        notes: list[str] = []
        bases: list[str] = []
        for folder in folders:
            settings, weights = read_settings(folder / NAME), _weights(folder, origin)
            self._checkpoints.append(weights)
            files += [*weights.files, folder / NAME]
            notes += [*weights.notes, *settings.notes]
            bases += [] if settings.base is None else [settings.base]
            own = "default" if folder == root else folder.name
            label = own if len(folders) > 1 else None
            for module in modules_of(weights, settings, label):
                if module.name in self._modules:
                    raise CheckpointError(f"{folder}: two changes of {module.name}")
                self._modules[module.name] = module
                self._weights[module.name] = weights
        self.files, self.notes = tuple(files), tuple(dict.fromkeys(notes))
        self.notes += tuple(m.note for m in self._modules.values() if m.note)
        self.bases = tuple(dict.fromkeys(bases))
        self.roles: Mapping[str, Role] = MappingProxyType(self._roles())
        self.unreadable: Mapping[str, str] = MappingProxyType(
            {
                module.name: module.reason or ""
                for module in self._modules.values()
                if module.status == "unreadable"
            }
        )

    def _roles(self) -> dict[str, Role]:
        weights = {module.weight for module in self._modules.values()}
        roles = roles_of(weights, rules_for(self.origin.rules, None))
        return {
            module.name: roles[module.weight]
            if module.index is None
            else replace(roles[module.weight], expert=module.index)
            for module in self._modules.values()
        }

    def __getitem__(self, name: str) -> LowRank:
        """Return the change of that name, after checking that its file is unchanged.

        Raises
        ------
        KeyError
            There is no such change, or it is not a product. The message gives the reason.
        CheckpointError
            The file changed since the adapter was opened.
        """
        module = self._modules.get(name)
        if module is None:
            raise KeyError(f"{name!r} is not in {self.path}{similar(name, self._modules)}")
        if module.status != "product":
            raise KeyError(f"{name}: {module.reason}")
        return self._product(module)

    def _product(self, module: Module) -> LowRank:
        weights = self._weights[module.name]
        A = weights[module.A]
        if module.index is None:
            product = LowRank(weights[module.B], A, module.scale)
        else:
            B = shared_matrix(weights, module.B, self._last_read)
            first = module.index * module.rank
            A, B = A[first : first + module.rank], B[:, module.index :: module.count]
            product = LowRank(B, A, module.scale)
        return product.T if module.transposed else product

    def outline(self, name: str) -> LowRank:
        """Return the change itself, since it has no scales that a stand-in could omit."""
        return self[name]

    def with_magnitudes(self, name: str) -> tuple[LowRank, NDArray[np.float64], int] | None:
        """Return the product of a DoRA change, its magnitudes, and the axis of the outputs.

        Return None for any other change. Raises the errors of a lookup.
        """
        module = self._modules[name]
        if not module.magnitude:
            return None
        chunks = self._weights[name].elements(module.magnitude)
        assert chunks is not None
        magnitudes = np.concatenate([np.asarray(x, dtype=np.float64).ravel() for x in chunks])
        return self._product(module), magnitudes, self.output_axis(name)

    def needs_base(self, name: str) -> bool:
        """Return whether a change depends on its base: DoRA."""
        return bool(self._modules[name].magnitude)

    def output_axis(self, name: str) -> int:
        """Return the axis of a change that holds the outputs of the layer."""
        return int(self._modules[name].transposed)

    def __iter__(self) -> Iterator[str]:
        return (m.name for m in self._modules.values() if m.status == "product")

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._modules and self._modules[str(name)].status == "product"

    def __repr__(self) -> str:
        return f"<Adapter {str(self.path)!r}: {len(self)} changes in {len(self.files)} files>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Adapter, (self.path, self.origin)

    @property
    def sources(self) -> tuple[ByteSource, ...]:
        """The sources of remote weights."""
        return tuple(source for each in self._checkpoints for source in each.sources)

    def stop_reading(self) -> None:
        """End the remote reads of other threads with an error."""
        for each in self._checkpoints:
            each.stop_reading()

    @property
    def choices(self) -> dict[str, object]:
        """Options that change the rows of a scan: `rules`."""
        rules = self.origin.rules
        return {} if rules is None else {"rules": rules.digest}

    @property
    def architecture(self) -> str:
        """The kind of the adapter, its rank, and the model that it was trained on."""
        ranks = sorted({m.rank for m in self._modules.values() if m.status == "product"})
        of_rank = f" of rank {ranks[0]}" if len(ranks) == 1 else ""
        of_rank = f" of ranks {ranks[0]} to {ranks[-1]}" if len(ranks) > 1 else of_rank
        return f"LoRA adapter{of_rank}" + (f" for {', '.join(self.bases)}" if self.bases else "")

    def elements(self, name: str) -> Elements | None:
        """Return the elements of a tensor saved in full; None for products and undecoded types."""
        module = self._modules[name]
        return self._weights[name].elements(module.stored) if module.stored else None

    def weight_of(self, name: str) -> str:
        """Return the name of the base model's weight that a change belongs to."""
        return self._modules[name].weight

    def label_of(self, name: str) -> str:
        """Return the adapter's label in the name of a change: "[second]", or an empty string."""
        label = self._modules[name].label
        return "" if label is None else f"[{label}]"

    def place_of(self, name: str) -> tuple[Role, str]:
        """Return the role of the changed weight, and the label of the adapter."""
        role = self.roles[name]
        if self._modules[name].index is not None:
            role = replace(role, expert=None)
        return role, self.label_of(name)

    def module_of(self, name: str) -> Module:
        """Return the description of one change."""
        return self._modules[name]

    def stored_shape(self, name: str) -> tuple[int, ...]:
        """Return the stored shape of a product's factor A, which has more axes for a kernel."""
        return self._weights[name].record_of(self._modules[name].A)["shape"]

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return the shape of a change from the headers."""
        return self._modules[name].shape

    def terms_of(self, name: str) -> Terms | None:
        """Return rank, alpha and scale of a change; None if it is not a product."""
        module = self._modules.get(name)
        if module is None:
            raise KeyError(f"{name!r} is not in {self.path}{similar(name, self._modules)}")
        if module.status != "product":
            return None
        return Terms(module.rank, module.alpha, module.scale)

    def info(self) -> list[TensorRecord]:
        """Return one record for every weight that is changed or replaced, in file order.

        `status` is "product", "whole" (a tensor saved in full: `modules_to_save`, biases) or
        "unreadable". `shape` is the shape of the change; `nbytes` counts the stored tensors.
        """
        return [self.record_of(name) for name in self._modules]

    def record_of(self, name: str) -> TensorRecord:
        """Return the record of one change."""
        module, role = self._modules[name], self.roles[name]
        product = module.status == "product"
        return TensorRecord(
            name=name,
            dtype=module.dtype,
            shape=module.shape,
            nbytes=module.nbytes,
            file=module.file,
            offset=module.offset,
            status=module.status,
            reason=module.reason,
            view=f"{module.scale:.6g} B A of rank {module.rank}" if product else None,
            matrices=(name,) if product else (),
            layer=role.layer,
            role=role.role,
            tower=role.tower,
            expert=role.expert,
            head=None,
        )


def _weights(folder: Place, origin: AdapterOrigin) -> Checkpoint:
    paths = (folder / name for name in _WEIGHTS)
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise CheckpointError(f"{folder}: no {' or '.join(_WEIGHTS)}")
    return open_checkpoint(path, split_fused=False, reading=origin.reading)
