# SPDX-License-Identifier: BSD-3-Clause
"""A verification in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from sigmascope.extension import counted

from .coded_cells import format_named
from .combining import box_of, is_at_random
from .exact import REPLACED
from .pattern_sentences import pattern_sentence
from .patterns import Pattern
from .rest_sentences import is_rest, rest_sentences
from .strengths import strength_sentences
from .tensors import CHANGED, ESTIMATED, IDENTICAL, MERGED, UNEXPLAINED, Row
from .verdicts import Evidence
from .wording import last_part, percent, weight_text


def sentences_of(
    evidence: Evidence,
    claims: Sequence[float | None],
    *,
    unseen: bool,
    pattern: Pattern | None = None,
    copies: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return the result in sentences, the most important first.

    Parameters
    ----------
    evidence
        Rows and weights.
    claims
        The claimed weight of each donor, or None.
    unseen
        Whether weights were claimed that are not refuted.
    pattern
        The pattern of weights that differ by tensor.
    copies
        Sentences about tensors that were taken from other places.
    """
    return (
        *_main(evidence, unseen, pattern),
        *copies,
        *_strengths(evidence, claims),
        *_survival(evidence),
        *_others(evidence),
    )


def _main(evidence: Evidence, unseen: bool, pattern: Pattern | None) -> list[str]:
    merged, unexplained = evidence.of(MERGED), evidence.of(UNEXPLAINED)
    if unexplained:
        return _not_linear(evidence, unexplained)
    if not merged:
        return _unchanged(evidence)
    weights = evidence.weights
    if weights is None:
        if pattern is not None:
            return [pattern_sentence(evidence, pattern)]
        return [f"The weights differ from tensor to tensor: {_by_tensor(evidence, merged)}."]
    if not any(row["changed"] for row in merged):
        return _nothing_applied(evidence, merged, unseen)
    names = [last_part(weight.donor) for weight in weights]
    total = " + ".join(
        f"{weight_text(weight.low, weight.high)} {name}"
        for weight, name in zip(weights, names, strict=True)
    )
    orders = " or ".join(evidence.orders[:2])
    if len(evidence.orders) > 2:
        orders += f", or in {counted(len(evidence.orders) - 2, 'other order')}"
    sentence = f"Every number of {counted(len(merged), 'tensor')} is base + {total}; {orders}."
    if any(map(is_at_random, merged)):
        sentence += " Some tensors fit only if numbers were rounded up or down at random."
    return [sentence]


def _strengths(evidence: Evidence, claims: Sequence[float | None]) -> list[str]:
    """Name the strengths of donors, where weights explain every tensor that donors change."""
    if evidence.of(UNEXPLAINED) or not any(row["changed"] for row in evidence.of(MERGED)):
        return []
    return strength_sentences(evidence, claims)


def _by_tensor(evidence: Evidence, merged: Sequence[Row]) -> str:
    parts = []
    for row in (merged[0], merged[-1]):
        box = box_of(row, None, evidence.donors)
        weights = ", ".join(weight_text(float(low), float(high)) for low, high in box)
        parts.append(f"{row['name']} has {weights}")
    return "; ".join(parts)


def _nothing_applied(evidence: Evidence, merged: Sequence[Row], unseen: bool) -> list[str]:
    """Say that the file is the base in every tensor that the donors would change."""
    shown = [row["shown"] for row in merged if row["shown"] is not None]
    names = [last_part(name) for name in evidence.names]
    name, was = (names[0], "was") if len(names) == 1 else (" and ".join(names), "were")
    if unseen:
        formats = sorted({format_named(row["formats"]["merged"]).words for row in merged})
        return [
            f"{name} cannot be seen in {' and '.join(formats)}: applied or not, at most "
            f"{counted(sum(shown), 'number')} would differ."
        ]
    sentence = f"{name} {was} not applied: the file is the base, {_rounded(merged)}."
    if shown:
        sentence += f" (Had it been, {counted(sum(shown), 'number')} would differ.)"
    return [sentence]


def _unchanged(evidence: Evidence) -> list[str]:
    identical, changed = evidence.of(IDENTICAL), evidence.of(CHANGED)
    if changed:
        return []
    if identical:
        count = counted(len(identical), "tensor")
        return [f"{count} {_are(identical)} of the base, {_rounded(identical)}."]
    return ["No tensor could be verified."]


def _are(rows: Sequence[Row]) -> str:
    """Return "is that" for one tensor, and "are those" for several."""
    return "is that" if len(rows) == 1 else "are those"


def _rounded(rows: Sequence[Row]) -> str:
    """Say whether tensors are stored as in the base, or converted."""
    formats = [row["formats"] for row in rows if "formats" in row]
    converted = {each["merged"] for each in formats if each["merged"] != each["base"]}
    words = sorted(format_named(name).words for name in converted)
    return f"rounded to {' and '.join(words)}" if words else "number for number"


def _not_linear(evidence: Evidence, rows: Sequence[Row]) -> list[str]:
    row = next((row for row in rows if row["witness"]), rows[0])
    count = f"{len(rows)} of {counted(len(evidence.rows), 'tensor')}"
    numbers = row["witness"]
    if not numbers:
        sentence = f"Not a linear merge of these: no weights explain {row['name']} ({count})."
        return [sentence, *_explained(evidence, rows)]
    first, *others = (
        f"{number['place']} ({_short(number['base'])} in the base, "
        f"{_short(number['merged'])} in the merged file)"
        for number in numbers
    )
    together = f" together with {' and '.join(others)}" if others else ""
    return [
        f"Not a linear merge of these: no weights explain {row['name']} {first}{together}. "
        f"That concerns {count}.",
        *_explained(evidence, rows),
    ]


def _explained(evidence: Evidence, rows: Sequence[Row]) -> list[str]:
    """Say what else explains the tensors, if it explains all of them in one way."""
    left = [row for row in rows if is_rest(row)]
    if left:
        return rest_sentences(left, evidence.rows, evidence.names)
    records = [row["explanation"] for row in rows if row["explanation"]]
    kinds = {record["kind"] for record in records}
    if len(kinds) != 1 or len(records) < len(rows):
        some = len(records)
        return [f"Another kind of merge explains {some} of them: see the rows."] if some else []
    kind, count = kinds.pop(), counted(len(rows), "tensor")
    if kind == "operand":
        words = list(dict.fromkeys(record["words"] for record in records))
        more = f" (and {len(words) - 1} more such)" if len(words) > 1 else ""
        return [f"A mistake explains {count}: {words[0]}{more}."]
    if kind == "slerp":
        low, high = _shared([record["position"] for record in records])
        where = weight_text(low, high) if low <= high else "positions that differ by tensor"
        return [f"An interpolation on a sphere (SLERP) explains {count}, at {where}."]
    if kind == "sum":
        return [f"Weights that do not sum to 1 explain {count}: the base has a weight of its own."]
    left_out = sum(record["left_out"] for record in records) / len(records)
    share = f"{percent(left_out)} of the changes that would show were left out"
    if kind == "trimmed":
        return [f"{share}, and they are the small ones, as TIES leaves them out."]
    return [f"{share}, large and small alike, as DARE drops them."]


def _shared(intervals: Sequence[Sequence[float]]) -> tuple[float, float]:
    return max(min(each) for each in intervals), min(max(each) for each in intervals)


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def _survival(evidence: Evidence) -> list[str]:
    part = evidence.survived
    merged = evidence.of(MERGED)
    if part is None or not merged or evidence.weights is None or evidence.of(UNEXPLAINED):
        return []
    numbers = sum(row["numbers"] for row in merged)
    changed = sum(row["changed"] for row in merged)
    if not changed:
        return []
    formats = sorted({row["formats"]["merged"] for row in merged})
    stored = " and ".join(format_named(name).words for name in formats)
    sentence = (
        f"{percent(part)} of the change survived in {stored}: {percent(changed / numbers)} of "
        "the numbers moved."
    )
    better = _better_format(merged, formats)
    if part < 0.99 and better is not None:
        name, expected = better
        sentence += f" In {format_named(name).words}, {percent(expected)} is expected to survive."
    return [sentence]


def _better_format(merged: Sequence[Row], formats: Sequence[str]) -> tuple[str, float] | None:
    """Return the first more precise format, and the part of the change that it would keep."""
    digits = max(format_named(name).digits for name in formats)
    for name in ("bf16", "f16", "f32"):
        if format_named(name).digits > digits:
            sizes = [row["gram"] for row in merged]
            weights = [sum(gram[i][i] for i in range(len(gram))) for gram in sizes]
            parts = [row["expected"][name]["survived"] for row in merged]
            total = sum(weights)
            mean = sum(w * p for w, p in zip(weights, parts, strict=True)) / total if total else 0
            return name, mean
    return None


def _estimate(evidence: Evidence, rows: Sequence[Row]) -> str:
    """Say what least squares gives for the first tensor whose cells are not known."""
    row = rows[0]
    weights = " + ".join(
        f"{weight_text(low, high)} {last_part(evidence.names[donor])}"
        for donor, (low, high) in zip(row["donors"], row["estimate"]["intervals"], strict=True)
    )
    return (
        f"Estimate by least squares, which decides no claim: {row['name']} is about base + "
        f"{weights} (95 %)."
    )


def _others(evidence: Evidence) -> list[str]:
    sentences: list[str] = []
    identical, changed = evidence.of(IDENTICAL), evidence.of(CHANGED)
    if identical and evidence.of(MERGED, UNEXPLAINED):
        verb = _are(identical)
        rounded = _rounded(identical)
        base = "the base" if rounded == "number for number" else f"the base, {rounded}"
        count = counted(len(identical), "tensor")
        sentences.append(f"{count} that no donor changes {verb} of {base}.")
    replaced = evidence.of(REPLACED)
    if replaced:
        verb = _are(replaced)
        count = counted(len(replaced), "tensor")
        sentences.append(f"{count} that an adapter saves in full {verb} of the adapter.")
    if changed:
        names = ", ".join(str(row["name"]) for row in changed[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        sentences.append(f"No donor changes {names}{more}, but the merged file differs there.")
        sentences += rest_sentences([row for row in changed if is_rest(row)], evidence.rows, ())
    unseen = evidence.unseen
    if unseen:
        first = unseen[0]
        name = first["name"] or first["merged"]
        sentences.append(
            f"{counted(len(unseen), 'tensor')} could not be verified: {name}: {first['reason']}."
        )
    estimated = evidence.of(ESTIMATED)
    if estimated:
        sentences.append(_estimate(evidence, estimated))
    for change, reason in list(evidence.unpaired_changes.items())[:1]:
        sentences.append(f"A change fits no weight of the base: {change}: {reason}.")
    return sentences
