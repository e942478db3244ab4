# SPDX-License-Identifier: BSD-3-Clause
"""The row of one tensor: which weights explain its numbers, or which numbers contradict."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sigmascope.errors import SigmascopeError

from .alternatives import iter_alternatives
from .blocks import Formats
from .coded_bases import DECODED, BaseNumbers, combine_bases, count_differences, iter_bases
from .coded_cells import NoCellsError
from .equal_weights import equal_interval
from .estimating import estimate_weights
from .exact import check_saved_base, compare_integers, compare_replaced
from .explaining import explain, explain_by_base
from .factor_fits import fit_factors
from .fitting import OrderFit, TensorFit, fit_tensor, fits_sample
from .joint_rows import rows_record
from .number_formats import FORMATS, Reals
from .operands import Operand, Operands
from .sources import MatrixSource, Source
from .stored_formats import NotVerifiedError
from .sums import Sums
from .survival import expected_survival
from .unknown import REST, find_rest

Row = dict[str, Any]

EMBEDDINGS = ("embed", "positions", "token_types", "relative_positions")
"""Roles of embeddings."""

Key = tuple[str | int, ...]

IDENTICAL, MERGED, CHANGED = "identical", "merged", "changed"
UNEXPLAINED, UNPAIRED, SKIPPED, FAILED = "unexplained", "unpaired", "not verified", "failed"
ESTIMATED = "estimated"


class WitnessNumber(NamedTuple):
    """A stored number that contradicts others.

    Attributes
    ----------
    place
        Its indices in the tensor.
    base, merged
        The number in the base and in the merged file.
    changes
        Its change by each donor at weight 1.
    """

    place: list[int]
    base: float | str
    merged: float | str
    changes: list[float | str]


def verify_tensor(
    operands: Operands,
    operand: Operand,
    claim: Sequence[float] | None,
    likely: Mapping[Key, Collection[str]],
) -> Row:
    """Return the row of a tensor; an error becomes the reason in the row.

    Parameters
    ----------
    operands, operand
        All operands, and the tensor.
    claim
        The claimed weight of each donor of the merge; None if nothing is claimed.
    likely
        For tensors of each kind, the orders that explain those that were verified before.
    """
    row: Row = {
        "name": operand.name,
        "merged": operand.merged,
        "status": UNPAIRED,
        "reason": operand.reason,
        "note": operand.note,
        "nbytes": operand.nbytes,
        "donors": list(operand.donors),
        "terms": [operands.terms_of(operand, index) for index in operand.donors],
        **operand.place,
    }
    if operand.name is None or operand.merged is None:
        return row
    if operand.reason is not None:
        return row | {"status": SKIPPED}
    try:
        if operand.replaced is not None:
            if operand.replaced[0] not in operand.changes:
                return row | compare_replaced(operands, operand)
            check_saved_base(operands, operand)
        integers = compare_integers(operands, operand)
        if integers is not None:
            return row | integers
        own = None if claim is None else np.array([claim[i] for i in operand.donors])
        cells = operands.cells_of_base(operand)
        if cells is not None:
            return row | _with_coded_base(operands, operand, own, cells.number_format.name)
        source = operands.source(operand)
        known = likely.get(key_of(_names(source.formats), operand.donors, row["role"]))
        source, fit = fit_factors(operands, operand, source, own, known)
        other_operand = None
        if not fit.fits and operand.changes:
            other_operand = _explain_by_operand(operands, operand, source, own)
        return row | _described(source, fit, other_operand)
    except (NotVerifiedError, NoCellsError) as error:
        return row | _estimated(operands, operand, str(error))
    except (SigmascopeError, OSError, KeyError) as error:
        return row | {"status": FAILED, "reason": str(error)}


def _estimated(operands: Operands, operand: Operand, reason: str) -> Row:
    """Return the row of a tensor without cells, with an estimate of its weights if possible."""
    try:
        decoded = operands.decoded(operand)
        estimate = None if decoded is None else estimate_weights(**decoded)
    except NotVerifiedError:
        estimate = None
    if estimate is None:
        return {"status": SKIPPED, "reason": reason}
    return {"status": ESTIMATED, "reason": reason, "estimate": estimate._asdict()}


def key_of(formats: Mapping[str, str], donors: Sequence[int], role: str) -> Key:
    """Return the kind of a tensor, in which all are merged in one order.

    That is its formats, the donors that change it, and whether it is an embedding: PEFT rounds the
    change of an embedding to the base's format, and that of another weight to the factors' format.
    """
    return (*formats.values(), *donors, role in EMBEDDINGS)


def _names(formats: Formats) -> dict[str, str]:
    return {name: getattr(formats, name).name for name in ("base", "merged", "change")}


def _explain_by_operand(
    operands: Operands, operand: Operand, source: Source, claim: Reals | None
) -> dict[str, Any] | None:
    """Return which other operand explains a tensor, and with which weights."""
    for alternative in iter_alternatives(operands, operand, source):
        if not fits_sample(alternative.source):
            continue
        fit = fit_tensor(alternative.source, claim)
        if fit.box is not None and fit.fits_exactly:
            weights = [[_finite(low), _finite(high)] for low, high in fit.box]
            return {"kind": "operand", "words": alternative.words, "weights": weights}
    return None


def _with_coded_base(operands: Operands, operand: Operand, claim: Reals | None, name: str) -> Row:
    """Verify a tensor whose base holds codes: what the merger had instead of them is not known.

    It had the decoded numbers, or those from which the codes were made, each within its cell. The
    second can be excluded only by the weights that they need, so that it confirms no claim. Factors
    may have been rounded to a base in half precision.
    """
    rows: dict[BaseNumbers, Row] = {}
    plain = operands.source(operand)
    first = fit_tensor(plain, claim)
    for numbers in iter_bases(plain.formats.change):
        source, fit = plain, first
        if numbers != DECODED:
            source = operands.source(operand, numbers=numbers)
            fit = fit_tensor(source, claim)
        untouched = not len(fit.sums.gram) and not fit.sums.changed
        if fit.fits or untouched:
            row = _described(source, fit, base_known=numbers.decoded)
            if row["status"] in (MERGED, IDENTICAL):
                rows[numbers] = row
    row = combine_bases(rows) if rows else _described(plain, first)
    assert isinstance(plain, MatrixSource)
    if row["formats"]["merged"] == name:  # the same codes again: compared number for number
        row["changed"] = count_differences(plain)
    elif row["status"] == IDENTICAL and not next(iter(rows)).decoded:
        row["changed"] = first.sums.changed
    return row | {"formats": row["formats"] | {"base": name, "change": plain.formats.change.name}}


def _described(
    source: Source,
    fit: TensorFit,
    explanation: dict[str, Any] | None = None,
    *,
    base_known: bool = True,
) -> Row:
    formats, sums = source.formats, fit.sums
    if base_known and fit.fits and not fit.fits_exactly:
        # A base with a weight of its own, rounded as usual, is a better explanation.
        explanation = explain_by_base(source)
        fit = fit if explanation is None else replace(fit, fits=())
    touched = bool(len(sums.gram)) and bool(np.diag(sums.gram).any())
    if fit.fits:
        status = MERGED
    elif touched:
        status = UNEXPLAINED
    else:
        status = CHANGED if sums.changed else IDENTICAL
    row: Row = {
        "status": status,
        "numbers": source.count,
        "formats": _names(formats),
        "changed": sums.changed,
        "foreign": sums.foreign,
        "shown": sums.shown[0] if sums.shown else None,
        "gram": sums.gram.tolist(),
        "cross": sums.cross.tolist(),
        "moved": sums.moved,
        "orders": [_order(each) for each in fit.fits],
        "refuted": {words: list(places) for words, places in fit.refuted.items()},
        "searched": None if fit.proved else [float(most) for most in _searched(fit)],
    }
    if touched:
        row["expected"] = _expected(sums)
    if status == UNEXPLAINED:
        row |= _explained(source, sums, explanation or explain(source))
        row["witness"] = [witness._asdict() for witness in _witness(source, fit)]
    if status == CHANGED:
        row |= _explained(source, sums, None)
    return row


def _explained(source: Source, sums: Sums, explanation: dict[str, Any] | None) -> Row:
    """Return an explanation; if there is not one, what is left after the donors."""
    if explanation is not None:
        return {"explanation": explanation}
    rest = find_rest(source, sums)
    by_rank = rest is not None and rest["rank"] > 0
    return {"rest": rest, "explanation": {"kind": REST, **(rest or {})} if by_rank else None}


def _order(fit: OrderFit) -> Row:
    assert fit.box is not None
    weights = [[_finite(low), _finite(high)] for low, high in fit.box]
    row: Row = {
        "order": fit.words,
        "weights": weights,
        "misses": list(fit.misses),
        "rounds_weights": fit.order.rounds_weights,
    }
    if len(fit.box) > 1:
        equal = equal_interval(fit.weights, fit.box)
        row["rows"] = rows_record(fit.weights)
        row["equal"] = None if equal is None else [_finite(end) for end in equal]
    return row


def _finite(end: float) -> float | None:
    """Return the end of an interval; or None, since JSON has no infinity."""
    return float(end) if np.isfinite(end) else None


def _number(value: np.float64) -> float | str:
    """Return a number; as text if it is not finite, since JSON has no such numbers."""
    return float(value) if np.isfinite(value) else str(value)


def _searched(fit: TensorFit) -> Reals:
    return fit.fits[0].most if fit.fits else np.zeros(0)


def _expected(sums: Sums) -> dict[str, dict[str, float]]:
    """Return what each format would keep of the change, by the closed form."""
    return {
        name: expected_survival(sums.binades, number_format)._asdict()
        for name, number_format in FORMATS.items()
    }


def _witness(source: Source, fit: TensorFit) -> list[WitnessNumber]:
    """Read the numbers that contradict each other in the first refuted order that has some."""
    places = next((places for places in fit.refuted.values() if places), ())
    wanted = sorted({place for place in places if place >= 0})
    numbers: list[WitnessNumber] = []
    if not wanted:
        return numbers
    for start, block in source.blocks():
        for place in wanted:
            index = place - start
            if 0 <= index < len(block.base):
                numbers.append(
                    WitnessNumber(
                        source.place(place),
                        _number(block.base[index]),
                        _number(block.merged[index]),
                        [_number(change) for change in block.donors[:, index]],
                    )
                )
    return numbers
