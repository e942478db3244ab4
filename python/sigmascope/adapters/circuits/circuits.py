# SPDX-License-Identifier: BSD-3-Clause
"""The circuits of a checkpoint as a mapping from names to low-rank products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from sigmascope._host.keywords import public, similar
from sigmascope.analysis.low_rank import LowRank
from sigmascope.checkpoint import Checkpoint
from sigmascope.checkpoint.elements import Elements
from sigmascope.checkpoint.formats.identity import FileIdentity
from sigmascope.checkpoint.naming.roles import Role
from sigmascope.checkpoint.record import TensorRecord
from sigmascope.checkpoint.remote.paths import Place
from sigmascope.matrices.byte_source import ByteSource

from .factors import Factor
from .logits import LogitBound, RotaryPlanes
from .modules import Circuit, layout_of
from .reading import CircuitReader


class Circuits(Mapping[str, LowRank]):
    """The circuits of the attention heads of a checkpoint: products by name, in file order.

    `model.layers.3.self_attn[qk 5]` is W_q^T W_k of head 5, and `model.layers.3.self_attn[ov 5]` is
    W_o W_v. Both are d x d matrices of rank d_head. The gains of the norm before attention are
    multiplied into the columns of W_q, W_k and W_v, those of the norms of q and k into their rows.
    Heads that share keys and values have circuits of their own. :func:`sigmascope.scan` and
    :func:`sigmascope.compare` take circuits like a checkpoint.

    Attributes
    ----------
    checkpoint : Checkpoint
        The checkpoint, opened with `circuits=True`.
    path, files, architecture, reading, origin
        Those of the checkpoint.
    roles : mapping of str to Role
        The role of every circuit, "qk" or "ov", with its layer, tower and head.
    unreadable : mapping of str to str
        Attention weights that belong to no circuit, with the reason.
    notes : tuple of str
        Remarks on the files, and on what the circuits contain.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.path: Place = checkpoint.path
        self.files, self.architecture = checkpoint.files, checkpoint.architecture
        self.reading, self.origin = checkpoint.reading, checkpoint.origin
        layout = layout_of(checkpoint)
        self._circuits = {circuit.name: circuit for circuit in layout.circuits}
        self._modules: dict[str, list[str]] = {}
        for circuit in layout.circuits:
            self._modules.setdefault(circuit.module, []).append(circuit.name)
        self.unreadable: Mapping[str, str] = MappingProxyType(layout.refused)
        self.roles: Mapping[str, Role] = MappingProxyType(
            {name: circuit.role for name, circuit in self._circuits.items()}
            | {name: checkpoint.roles[name] for name in layout.refused}
        )
        what = "circuits of heads: biases and norms after attention are not included"
        self.notes = (*checkpoint.notes, what) if self._circuits else checkpoint.notes
        self._reader = CircuitReader(checkpoint)

    def __getitem__(self, name: str) -> LowRank:
        """Return a circuit, with its factors in memory as float64.

        Raises
        ------
        KeyError
            There is no such circuit. The message gives the reason.
        CheckpointError
            A file changed since the checkpoint was opened, or a norm does not fit.
        """
        return self._reader.product(self._circuit(name))

    def outline(self, name: str) -> LowRank:
        """Return a stand-in of the same shape and memory, after a check of the files."""
        circuit = self._circuit(name)
        for each in (*circuit.left.names, *circuit.right.names):
            self.checkpoint.outline(each)
        (rank, m), (_, n) = (f.shape(self.checkpoint) for f in (circuit.left, circuit.right))
        return LowRank(np.zeros((m, rank)), np.zeros((rank, n)))

    def _circuit(self, name: str) -> Circuit:
        if name not in self._circuits:
            reason = self.unreadable.get(name)
            if reason is not None:
                raise KeyError(f"{name}: {reason}")
            raise KeyError(f"{name!r} is not in {self.path}{similar(name, self._circuits)}")
        return self._circuits[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._circuits)

    def __len__(self) -> int:
        return len(self._circuits)

    def __contains__(self, name: object) -> bool:
        return name in self._circuits

    def __repr__(self) -> str:
        return f"<Circuits {str(self.path)!r}: {len(self)} of {len(self._modules)} modules>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Circuits, (self.checkpoint,)

    @property
    def sources(self) -> tuple[ByteSource, ...]:
        """The sources of remote and virtual files."""
        return self.checkpoint.sources

    @property
    def in_memory(self) -> bool:
        """True if the tensors are in memory instead of files."""
        return self.checkpoint.in_memory

    def identities(self) -> tuple[FileIdentity, ...]:
        """Return the name, size and digest of every file."""
        return self.checkpoint.identities()

    def stop_reading(self) -> None:
        """End the remote reads of other threads with an error."""
        self.checkpoint.stop_reading()

    @property
    def choices(self) -> dict[str, object]:
        """Options that change the rows of a scan."""
        return self.checkpoint.choices

    def elements(self, name: str) -> Elements | None:
        """Return None: circuits have no stored elements, and other tensors are not read."""
        return None

    def shape_of(self, name: str) -> tuple[int, int]:
        """Return the shape of a circuit from the headers."""
        circuit = self._circuit(name)
        return _columns(circuit.left, self.checkpoint), _columns(circuit.right, self.checkpoint)

    def logit_bound(self, name: str) -> LogitBound | None:
        """Bound the magnitude of a head's attention logits; None if its factor is not known.

        Parameters
        ----------
        name : str
            A circuit of the role "qk".

        Raises
        ------
        ValueError
            The circuit has another role.

        Notes
        -----
        The product d x d is not formed. `any_positions` holds for every distance and for every
        choice of frequencies; it is at most ||W_q||_2 ||W_k||_2 and at most the sum over planes of
        the largest norm that each has in any rotation.

        The bound holds for the outputs of the norm before attention, or with norms of q and k for
        any input. It is None without such a norm, with latent attention, whose norms depend on the
        token, and with a rotary scaling that multiplies the logits. Numbers that a model adds to
        logits (ALiBi, relative positions) are not included.
        """
        return self._reader.product(self._of_logits(name)).logit_bound()

    def planes(self, name: str) -> RotaryPlanes | None:
        """Return the part of a circuit in each plane in which positions rotate.

        Parameters
        ----------
        name : str
            A circuit of the role "qk".

        Returns
        -------
        RotaryPlanes or None
            Without planes if the family does not rotate q and k. None if it is not known which rows
            it rotates together.

        Raises
        ------
        ValueError
            The circuit has another role.
        """
        return self._reader.product(self._of_logits(name)).planes()

    def _of_logits(self, name: str) -> Circuit:
        circuit = self._circuit(name)
        if not circuit.role.role.endswith("qk"):
            raise ValueError(f"{name} has no logits: its role is {circuit.role.role!r}, not 'qk'")
        return circuit

    def info(self) -> list[TensorRecord]:
        """Return a record for each attention module, then one for each weight without a circuit.

        The record of a module has the status "product", and `matrices` names its circuits. The
        other records have the status "unreadable" and the reason.
        """
        records = []
        for module, names in self._modules.items():
            record = self.record_of(names[0])
            record["name"], record["matrices"], record["head"] = module, tuple(names), None
            record["nbytes"] = sum(self.record_of(name)["nbytes"] for name in names)
            records.append(record)
        refused = (r for r in self.checkpoint.info() if r["name"] in self.unreadable)
        for record in refused:
            record["status"], record["matrices"] = "unreadable", ()
            record["reason"] = self.unreadable[record["name"]]
            records.append(record)
        return records

    def record_of(self, name: str) -> TensorRecord:
        """Return the record of one circuit; `shape` is that of the product."""
        circuit = self._circuit(name)
        stored, role = self.checkpoint.record_of(circuit.first), circuit.role
        factors = (circuit.left, circuit.right)
        return TensorRecord(
            name=circuit.module,
            dtype=stored["dtype"],
            shape=self.shape_of(name),
            nbytes=sum(factor.nbytes(self.checkpoint) for factor in factors),
            file=stored["file"],
            offset=stored["offset"],
            status="product",
            reason=None,
            view=circuit.view,
            matrices=(name,),
            layer=role.layer,
            role=role.role,
            tower=role.tower or None,
            expert=None,
            head=role.head,
        )


def _columns(factor: Factor, checkpoint: Checkpoint) -> int:
    return factor.shape(checkpoint)[1]


@public
def circuits_of(checkpoint: Checkpoint) -> Circuits:
    """Return the circuits of a checkpoint that was opened with `circuits=True`.

    Parameters
    ----------
    checkpoint : Checkpoint
        As :func:`open_checkpoint` returns it.

    Returns
    -------
    Circuits
        A mapping from names to products of rank d_head. Headers are read, and never weights.

    Raises
    ------
    TypeError, ValueError
        It is not a checkpoint, or was opened without `circuits=True`.

    See Also
    --------
    open_checkpoint : The checkpoint.
    scan : The spectrum of every circuit.

    Examples
    --------
    >>> checkpoint = open_checkpoint("model/", circuits=True)           # doctest: +SKIP
    >>> circuits = circuits_of(checkpoint)                              # doctest: +SKIP
    >>> circuits["model.layers.3.self_attn[qk 5]"].svd(8).s             # doctest: +SKIP
    """
    if not isinstance(checkpoint, Checkpoint):
        raise TypeError(f"checkpoint must be an open checkpoint, not {checkpoint!r:.80}")
    if not checkpoint.origin.circuits:
        raise ValueError(f"{checkpoint.path} was opened without circuits=True")
    return Circuits(checkpoint)
