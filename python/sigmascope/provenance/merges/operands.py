# SPDX-License-Identifier: BSD-3-Clause
"""The operands of a verification: pairs of tensors of base and merged file, with their donors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from sigmascope import Checkpoint, Matrix
from sigmascope.adapters import Adapter
from sigmascope.extension.pairs import (
    Changes,
    Member,
    Pair,
    Scannable,
    changes,
    delta_of,
    linked,
    members,
)

from .blocks import Formats
from .cell_readers import cell_reader
from .coded_bases import DECODED, BaseNumbers
from .coded_cells import CellReader
from .coded_source import CodedSource
from .number_formats import FORMATS, NumberFormat
from .sources import AdapterDonor, Donor, MatrixSource, ModelDonor, Source, VectorSource, held
from .stored_formats import NotVerifiedError, elements_of, is_coded, number_format

OF_MODELS = "the base holds codes, so the change from it to a model is not known"

MOST_HELD = 1 << 31
"""Largest size in bytes of a remote matrix that is held in memory while it is verified."""

WEIGHT_PARTS = ("scale", "part")
"""Statuses of tensors that are read with the weight that they belong to."""


@dataclass(frozen=True)
class Operand:
    """One tensor of the merged file, its partner in the base, and the donors that may change it.

    Attributes
    ----------
    name, merged
        Names in the base and in the merged file; one is None for a tensor without a partner.
    reason
        The reason why it cannot be verified, or None.
    note
        A remark on how it was paired.
    donors
        Indices of the donors that may change it.
    changes
        For each donor that is an adapter, the name of its change of this tensor.
    nbytes
        Stored bytes in base and merged file.
    replaced
        Index of the adapter that saves the tensor in full, and the name of that change, or None.
    """

    name: str | None
    merged: str | None
    pair: Pair
    reason: str | None = None
    note: str | None = None
    donors: tuple[int, ...] = ()
    changes: Mapping[int, str] = field(default_factory=dict)
    nbytes: int = 0
    replaced: tuple[int, str] | None = None

    @property
    def place(self) -> dict[str, str | int | None]:
        """The tensor's tower, layer, expert and role; each but the role may be None."""
        member = self.pair.before or self.pair.after
        assert member is not None
        return {key: member.record[key] for key in ("tower", "layer", "expert", "role")}


class DecodedMatrix(TypedDict):
    """Decoded numbers of a matrix, as arguments of an estimate."""

    source: MatrixSource
    base_in_codes: bool
    float64: bool


class Operands:
    """Base, merged file and donors, tensor by tensor.

    Parameters
    ----------
    base, merged : Checkpoint
    donors : sequence of Checkpoint or Adapter
    """

    def __init__(self, base: Checkpoint, merged: Checkpoint, donors: Sequence[Scannable]) -> None:
        self.base, self.merged, self.donors = base, merged, tuple(donors)
        before = list(members(base))
        self._models: dict[int, dict[str, Pair]] = {}
        self._changes: dict[int, dict[str, str]] = {}
        self._scaled: dict[int, set[str]] = {}
        self._whole: dict[str, tuple[int, str]] = {}
        self.unpaired_changes: dict[str, str] = {}
        for index, donor in enumerate(self.donors):
            if isinstance(donor, Adapter):
                self._pair_adapter(index, changes(base, donor))
            else:
                pairs = linked(before, list(members(donor)))
                self._models[index] = {p.before.name: p for p in pairs if p.before is not None}
        self._pairs = list(linked(before, list(members(merged))))

    def _pair_adapter(self, index: int, links: Changes) -> None:
        self._changes[index] = {}
        for name, change, _ in links.pairs:
            if name in self._changes[index]:
                raise ValueError(
                    f"{links.adapter.path} changes {name} more than once: give one adapter at a "
                    "time, as the folder of that adapter"
                )
            self._changes[index][name] = change
        self._scaled[index] = {name for name, _, _ in links.scaled}
        for change, reason in links.unpaired.items():
            whole = links.adapter.record_of(change)["status"] == "whole"
            if whole and change in links.tensors:
                self._whole[links.tensors[change]] = index, change
            else:
                self.unpaired_changes[change] = reason

    def changes_of(self, index: int) -> Mapping[str, str]:
        """Return the names of the base's matrices that an adapter changes, with its changes."""
        return self._changes[index]

    def terms_of(self, operand: Operand, index: int) -> list[float] | None:
        """Return rank, alpha and scale of a donor's change; None if it is not a product."""
        donor, change = self.donors[index], operand.changes.get(index)
        terms = donor.terms_of(change) if isinstance(donor, Adapter) and change else None
        return None if terms is None else [float(each) for each in terms]

    def __iter__(self) -> Iterator[Operand]:
        for pair in self._pairs:
            first, second = pair.before, pair.after
            parts = [member for member in (first, second) if member is not None]
            if all(member.record["status"] in WEIGHT_PARTS for member in parts):
                continue
            yield self._operand(pair, sum(member.record["nbytes"] for member in parts))

    def _operand(self, pair: Pair, nbytes: int) -> Operand:
        names = tuple(None if m is None else m.name for m in (pair.before, pair.after))
        first, second = names
        if pair.before is None or pair.after is None or not (pair.matrix or pair.entrywise):
            why = pair.reason or "it cannot be read"
            return Operand(first, second, pair, why, pair.note, nbytes=nbytes)
        assert first is not None
        applied = {i: by[first] for i, by in self._changes.items() if first in by}
        models = tuple(
            i
            for i, pairs in self._models.items()
            if first in pairs and pairs[first].after is not None
        )
        touching = tuple(sorted((*applied, *models)))
        reason: str | None = None
        if any(first in names for names in self._scaled.values()):
            reason = "changed by DoRA, whose change depends on the base: not verified yet"
        replaced = self._whole.get(pair.before.record["name"])
        return Operand(first, second, pair, reason, pair.note, touching, applied, nbytes, replaced)

    def cells_of_base(self, operand: Operand) -> CellReader | None:
        """Return what reads the cells of the base's numbers; None if it holds no such codes."""
        before = operand.pair.before
        return None if before is None else cell_reader(self.base, before)

    def source(
        self,
        operand: Operand,
        *,
        rounded_factors: bool = False,
        numbers: BaseNumbers = DECODED,
    ) -> Source:
        """Return the numbers of a tensor.

        Parameters
        ----------
        operand
            The tensor.
        rounded_factors
            True if the merger has rounded an adapter's factors to the base's format.
        numbers
            The numbers that the merger had if the base holds codes.

        Raises
        ------
        NotVerifiedError
            If a format has no cells, shapes differ, or a model changes a base that holds codes.
        CheckpointError
            If a file changed or ends early.
        """
        before, after = operand.pair.before, operand.pair.after
        assert before is not None
        assert after is not None
        where = "the merged file"
        base_cells = cell_reader(self.base, before)
        if base_cells is None:
            base = number_format(self.base, before, "the base")
        elif set(operand.donors) > set(operand.changes):
            raise NotVerifiedError(OF_MODELS)
        else:
            base, rounded_factors = numbers.number_format, numbers.rounded_factors
        cells = cell_reader(self.merged, after)
        merged = cells.number_format if cells else number_format(self.merged, after, where)
        if not operand.pair.matrix:
            return self._vectors(operand, before, after, Formats(base, merged, base))
        factors = base if rounded_factors else None
        donors = self._donors_of(operand, before, factors)
        change = donors[0].number_format if donors else base
        height = operand.pair.rows or before.shape[0]
        formats = Formats(base, merged, change, factors)
        matrices = matrix_of(self.base, before), matrix_of(self.merged, after)
        if cells is None and base_cells is None:
            return MatrixSource(*matrices, donors, formats, height)
        decoded = numbers.decoded
        return CodedSource(*matrices, donors, formats, height, cells, base_cells, decoded)

    def decoded(self, operand: Operand) -> DecodedMatrix | None:
        """Return decoded numbers of a matrix without cells, for estimates, or None.

        Return None, too, if both files hold codes, or if the base does and a model changes it: the
        errors of the base then depend on those of the merged file, or of the change.
        """
        before, after = operand.pair.before, operand.pair.after
        if before is None or after is None or not operand.pair.matrix or not operand.donors:
            return None
        models = set(operand.donors) > set(operand.changes)
        in_codes = is_coded(self.base, before)
        if in_codes and (models or is_coded(self.merged, after)):
            return None
        donors = self._donors_of(operand, before, None)
        exact = FORMATS["f32"]
        height = operand.pair.rows or before.shape[0]
        matrices = matrix_of(self.base, before), matrix_of(self.merged, after)
        source = MatrixSource(*matrices, donors, Formats(exact, exact, exact), height)
        float64 = after.record["dtype"] == "F64"
        return {"source": source, "base_in_codes": in_codes, "float64": float64}

    def _donors_of(
        self, operand: Operand, before: Member, factors: NumberFormat | None
    ) -> list[Donor]:
        donors: list[Donor] = []
        for index in operand.donors:
            if index in operand.changes:
                donor = self.donors[index]
                assert isinstance(donor, Adapter)
                product = delta_of(self.base, before.name, donor, operand.changes[index])
                donors.append(AdapterDonor(product, factors))
            else:
                donors.append(ModelDonor(self._matrix_of_model(index, before, operand.pair)))
        return donors

    def _matrix_of_model(self, index: int, before: Member, pair: Pair) -> Matrix:
        other = self._models[index][before.name]
        model, member = self.donors[index], other.after
        assert isinstance(model, Checkpoint)
        assert member is not None
        where = f"donor {index + 1}"
        if not other.matrix or (other.rows or before.shape[0]) < (pair.rows or before.shape[0]):
            raise NotVerifiedError(f"{where}: {other.reason or 'it has fewer rows'}")
        number_format(model, member, where)
        return matrix_of(model, member)

    def _vectors(self, operand: Operand, before: Member, after: Member, formats: Formats) -> Source:
        models = []
        for index in operand.donors:
            model, other = self.donors[index], self._models[index][before.name].after
            assert isinstance(model, Checkpoint)
            assert other is not None
            number_format(model, other, f"donor {index + 1}")
            models.append(elements_of(model, other))
        base, merged = elements_of(self.base, before), elements_of(self.merged, after)
        if any(each.count != base.count for each in (merged, *models)):
            counts = ", ".join(str(each.count) for each in (base, merged, *models))
            raise NotVerifiedError(f"the tensors have {counts} numbers")
        return VectorSource(held(base), held(merged), [held(each) for each in models], formats)


def matrix_of(checkpoint: Checkpoint, member: Member) -> Matrix:
    """Return a matrix; one of another machine in memory, since it is read several times."""
    matrix = checkpoint[member.key]
    is_remote = bool(checkpoint.sources)
    return matrix.load() if is_remote and matrix.nbytes <= MOST_HELD else matrix
