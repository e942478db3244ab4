# SPDX-License-Identifier: BSD-3-Clause
"""The attention modules of a checkpoint, and the circuits of their heads, from headers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sigmascope.checkpoint import Checkpoint
from sigmascope.checkpoint.naming.roles import Role

from .factors import Block, Factor, Gain, Piece
from .families import family_of, gain_offset, normalises_first, rotates
from .grouping import Module, group_modules
from .rotary import Rotation, rotation_of


@dataclass(frozen=True, slots=True)
class Circuit:
    """One circuit: the product of the transposed `left` and `right`, or of `left` and `right`.

    `left` has d_head rows; its transpose is the first factor of the product. The record's name of
    the attention module is `module`; `view` says in words what is multiplied. `rotation` says which
    rows of q and k positions rotate; None if it is not known, or for W_o W_v.
    """

    name: str
    module: str
    role: Role
    left: Factor
    right: Factor
    view: str
    first: str
    rotation: Rotation | None = None


class Layout(NamedTuple):
    """All circuits in file order, and the attention tensors without circuits, with the reason."""

    circuits: list[Circuit]
    refused: dict[str, str]


def layout_of(checkpoint: Checkpoint) -> Layout:
    """Return the circuits of all heads."""
    modules, refused = group_modules(checkpoint)
    circuits: list[Circuit] = []
    for module in modules:
        settings = checkpoint.configuration.of_tower(module.key.tower)
        builder = _Builder(checkpoint, module, settings)
        for reason_or_circuits, parts in (
            (builder.queries_and_keys(), ("q", "k", "q_a", "q_b", "kv_a")),
            (builder.outputs_and_values(), ("v", "o", "kv_b")),
        ):
            if not isinstance(reason_or_circuits, str):
                circuits += reason_or_circuits
                continue
            for part in parts:
                names = [*module.heads.get(part, ())[:1], *filter(None, [module.whole.get(part)])]
                for name in names:
                    refused.setdefault(checkpoint.view_of(name).tensor, reason_or_circuits)
    return Layout(circuits, refused)


class _Builder:
    """The circuits of one attention module."""

    def __init__(self, checkpoint: Checkpoint, module: Module, settings: Mapping[str, Any]) -> None:
        self._checkpoint, self._module, self._settings = checkpoint, module, settings
        self._prefix = _common_prefix(module.tensors)
        self._norms = {
            role.role: name
            for name, role in checkpoint.roles.items()
            if (role.tower, role.layer) == module.key[:2] and role.role.endswith("norm")
        }
        self._offset = gain_offset(settings)
        self._input, self._input_note = self._input_gain()

    def queries_and_keys(self) -> list[Circuit] | str:
        """Return the circuits W_q^T W_k, or the reason why they are not known."""
        queries = self._queries()
        if isinstance(queries, str):
            return queries
        keys = self._keys(len(queries))
        if isinstance(keys, str):
            return keys
        groups = _group_size(len(queries), len(keys), "k")
        if isinstance(groups, str):
            return groups
        notes = self._notes(rotary=True)
        circuits = []
        for head, query in enumerate(queries):
            group = head // groups
            shapes = [factor.shape(self._checkpoint) for factor in (query, keys[group])]
            if shapes[0][0] != shapes[1][0]:
                return f"a head of q has {shapes[0][0]} rows, and one of k has {shapes[1][0]}"
            words = f"W_q^T W_k of head {head}" + _of_group("k", group, groups)
            circuit = self._circuit("qk", head, query, keys[group], f"{words}; {notes}")
            circuits.append(replace(circuit, rotation=self._rotation(query, keys[group])))
        return circuits

    def _rotation(self, query: Factor, key: Factor) -> Rotation | None:
        """Return the rotated rows of a head: in latent attention those that all heads share."""
        width, last_rows = query.shape(self._checkpoint)[0], None
        if not key.plain:
            shared = key.pieces[1:]
            last_rows = sum(piece.outer.shape(self._checkpoint)[0] for piece in shared)
        return rotation_of(self._settings, self._module.key.layer, width, last_rows)

    def outputs_and_values(self) -> list[Circuit] | str:
        """Return the circuits W_o W_v, or the reason why they are not known."""
        outputs = self._module.heads.get("o", [])
        if not outputs:
            return f"{self._prefix} has no o that is cut into heads"
        values = self._values(len(outputs))
        if isinstance(values, str):
            return values
        groups = _group_size(len(outputs), len(values), "v")
        if isinstance(groups, str):
            return groups
        notes = self._notes(rotary=False)
        circuits = []
        for head, name in enumerate(outputs):
            group = head // groups
            left = Factor((Piece(Block(name, transposed=self._axis(name) == 1)),))
            shapes = [factor.shape(self._checkpoint) for factor in (left, values[group])]
            if shapes[0][0] != shapes[1][0]:
                return f"a head of o has {shapes[0][0]} columns, one of v has {shapes[1][0]} rows"
            words = f"W_o W_v of head {head}" + _of_group("v", group, groups)
            circuits.append(self._circuit("ov", head, left, values[group], f"{words}; {notes}"))
        return circuits

    def _circuit(self, kind: str, head: int, left: Factor, right: Factor, view: str) -> Circuit:
        key = self._module.key
        role = Role(key.layer, key.place + kind, key.tower, None, head)
        name = f"{self._prefix}[{role.role} {head}]"
        return Circuit(name, self._prefix, role, left, right, view, left.names[0])

    def _axis(self, name: str) -> int:
        """Return the axis along which a matrix is cut into heads."""
        cut = self._checkpoint.view_of(name).cut
        return 0 if cut is None else cut.axis

    def _queries(self) -> list[Factor] | str:
        heads, whole = self._module.heads, self._module.whole
        gain = self._norms.get(f"{self._module.key.place}q_norm")
        if "q_b" in heads:
            if "q_a" not in whole:
                return f"{self._prefix} has q_b but no q_a"
            between, inner = self._latent("q_a_norm"), Block(whole["q_a"])
            pieces = [(Piece(Block(name), between, inner),) for name in heads["q_b"]]
            return [Factor(piece, self._input) for piece in pieces]
        if "q" not in heads:
            return f"{self._prefix} has no q that is cut into heads"
        return [self._head(name, i, gain) for i, name in enumerate(heads["q"])]

    def _keys(self, count: int) -> list[Factor] | str:
        heads, whole = self._module.heads, self._module.whole
        gain = self._norms.get(f"{self._module.key.place}k_norm")
        if "kv_b" in whole:
            sizes = self._latent_sizes(count)
            if isinstance(sizes, str):
                return sizes
            rank, width, values, rotated = sizes
            between, inner = self._latent("kv_a_norm"), Block(whole["kv_a"], (0, rank))
            shared = Piece(Block(whole["kv_a"], (rank, rank + rotated)))
            step = width + values
            pieces = (
                Piece(Block(whole["kv_b"], (at, at + width)), between, inner)
                for at in range(0, count * step, step)
            )
            return [Factor((piece, *[shared] * (rotated > 0)), self._input) for piece in pieces]
        if "k" not in heads:
            return f"{self._prefix} has no k that is cut into heads"
        return [self._head(name, i, gain) for i, name in enumerate(heads["k"])]

    def _values(self, count: int) -> list[Factor] | str:
        heads, whole = self._module.heads, self._module.whole
        if "kv_b" in whole:
            sizes = self._latent_sizes(count)
            if isinstance(sizes, str):
                return sizes
            rank, width, values, _ = sizes
            between, inner = self._latent("kv_a_norm"), Block(whole["kv_a"], (0, rank))
            step = width + values
            rows = ((at + width, at + step) for at in range(0, count * step, step))
            pieces = (Piece(Block(whole["kv_b"], each), between, inner) for each in rows)
            return [Factor((piece,), self._input) for piece in pieces]
        if "v" not in heads:
            return f"{self._prefix} has no v that is cut into heads"
        return [self._head(name, i, None) for i, name in enumerate(heads["v"])]

    def _head(self, name: str, head: int, norm: str | None) -> Factor:
        """Return the factor of one head, whose outputs are rows unless stored transposed."""
        piece = Piece(Block(name, transposed=self._axis(name) == 1))
        rows = None if norm is None else Gain(norm, self._offset, head)
        return Factor((piece,), self._input, rows)

    def _latent(self, role: str) -> Gain | None:
        name = self._norms.get(role)
        return None if name is None else Gain(name, self._offset)

    def _latent_sizes(self, count: int) -> tuple[int, int, int, int] | str:
        """Return the rank of the latent vector, and the rows of k, v and rotated k of a head."""
        heads, whole = self._module.heads, self._module.whole
        if "kv_a" not in whole:
            return f"{self._prefix} has kv_b but no kv_a"
        if "o" not in heads or not (heads.keys() & {"q", "q_b"}):
            return f"{self._prefix} has kv_b, but q and o are not cut into heads"
        shape_of = self._checkpoint.shape_of
        total, rank = shape_of(whole["kv_b"])
        rotated = shape_of(whole["kv_a"])[0] - rank
        values = shape_of(heads["o"][0])[1]
        width = total // count - values
        if total % count or width < 1 or rotated < 0:
            return f"{count} heads do not fit the {total} rows of kv_b, with {values} of v each"
        return rank, width, values, rotated

    def _input_gain(self) -> tuple[Gain | None, str]:
        """Return the gains of the norm before attention, and a note that says what was done."""
        name = self._norms.get("attention_norm")
        if self._module.key.place:
            return None, "gains of norms not included, since k and v read another input"
        if name is None:
            return None, "no norm with gains before attention"
        if not normalises_first(self._settings):
            family = family_of(self._settings)
            return None, f"gains not included: the place of the norm in {family!r} is unknown"
        return Gain(name, self._offset), f"gains of {name} included"

    def _notes(self, *, rotary: bool) -> str:
        notes = [self._input_note, "biases not included"]
        rotation = rotates(self._settings, self._module.key.layer)
        if rotary and rotation is not False:
            notes.append("rotary embedding at distance 0" if rotation else "positions not included")
        latent = [role for role in ("q_a_norm", "kv_a_norm") if role in self._norms]
        if latent:
            notes.append("gains of the norms of the latent vectors included")
        if rotary and {"q_norm", "k_norm"} & self._norms.keys():
            notes.append("gains of q_norm and k_norm included")
        return "; ".join(notes)


def _common_prefix(names: list[str]) -> str:
    """Return the leading parts that all names have in common; the first name if there are none."""
    first, last = min(names), max(names)  # all others begin with what these two have in common
    letters = enumerate(zip(first, last, strict=False))
    common = next((first[:i] for i, (one, two) in letters if one != two), first)
    end = max(common.rfind("."), common.rfind("/"))  # flax separates by a slash
    return common[:end] if end > 0 else names[0]


def _group_size(queries: int, keys: int, part: str) -> int | str:
    """Return the number of heads that share one head of k or v."""
    if queries % keys:
        return f"{queries} heads cannot share {keys} heads of {part} equally"
    return queries // keys


def _of_group(part: str, group: int, size: int) -> str:
    return "" if size == 1 else f", {part} of head {group}"
