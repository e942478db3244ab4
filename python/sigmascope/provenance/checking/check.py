# SPDX-License-Identifier: BSD-3-Clause
"""The function check: claims about two checkpoints, each with a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log2

from sigmascope import Checkpoint
from sigmascope.extension import counted, public
from sigmascope.extension.pairs import as_scannable
from sigmascope.provenance.lineages import Lineage, lineage
from sigmascope.provenance.merges import Decision, verify
from sigmascope.provenance.merges.operands import Operands
from sigmascope.provenance.merges.verifying import Source

from .claims import LINEAGE, Limit, read_claims
from .result import Check
from .sizes import Row, measure_change


@public
def check(
    before: Source,
    after: Source,
    expect: str | Sequence[str],
    *,
    donors: Source | Sequence[Source] = (),
    tolerance: float = 0.0,
    alpha: float = 1e-6,
    reading: str | None = None,
) -> Check:
    """Decide claims about a checkpoint and the one before it, for a pipeline.

    Examples
    --------
    >>> result = check("base/", "model/", ["lineage", "relative<=.1"])      # doctest: +SKIP
    >>> result.verdict                                                      # doctest: +SKIP
    'confirmed'

    Parameters
    ----------
    before, after : Checkpoint, path, URL, or mapping of names to arrays
        Two checkpoints.
    expect : str or sequence of str
        Claims. "identical", "rounding", "adapter", "linear", "weights=.5,.5" and "survived>=.9" are
        those of :func:`verify`. "lineage" or "related": both have a common origin. "independent":
        none is found. "relative<=.01": no tensor changed by more than a hundredth of its norm.
        "bits>=4.5": the change of every tensor is at most 2^-4.5 of its norm, as that of codes of
        4.5 bits is at best.
    donors : Source or sequence of Source
        As for :func:`verify`.
    tolerance : float
        As for :func:`verify`.
    alpha : float
        Level of :func:`lineage`.
    reading : str, optional
        As for :func:`sigmascope.open_checkpoint`.

    Returns
    -------
    Check
        A verdict for each claim, and for all together: "confirmed", "refuted" or "undetermined".

    Raises
    ------
    ValueError
        If a claim is unknown, or one of both is an adapter.
    CheckpointError
        If a file cannot be opened.

    See Also
    --------
    verify : The weights of a merge.
    lineage : The evidence for a common origin.

    Notes
    -----
    A common origin can be confirmed, and independence refuted, by a certified p-value. The reverse
    is never proved: where nothing is found, both claims are undetermined.
    """
    claims = read_claims(expect)
    first, second = as_scannable(before, reading), as_scannable(after, reading)
    for source in (first, second):
        if not isinstance(source, Checkpoint):
            raise ValueError(f"{source.path} is an adapter, not a checkpoint")
    assert isinstance(first, Checkpoint)
    assert isinstance(second, Checkpoint)
    decisions: list[Decision] = []
    verification = origin = None
    if claims.of_merges:
        verification = verify(
            first, second, donors, expect=claims.of_merges, tolerance=tolerance, reading=reading
        )
        decisions += verification.decisions
    if claims.of_lineage:
        origin = lineage(first, second, alpha=alpha)
        decisions += [decide_origin(claim, origin) for claim in claims.of_lineage]
    rows: list[Row] = []
    if claims.limits:
        rows = [measure_change(first, second, operand) for operand in Operands(first, second, ())]
        decisions += [decide_limit(limit, rows) for limit in claims.limits]
    return Check(
        before=str(first.path),
        after=str(second.path),
        decisions=tuple(decisions),
        verification=verification,
        lineage=origin,
        rows=rows,
    )


def decide_origin(claim: str, origin: Lineage) -> Decision:
    """Return the verdict on a claim about a common origin."""
    if not origin.related:
        return Decision(claim, "undetermined", origin.text)
    return Decision(claim, "confirmed" if LINEAGE[claim] else "refuted", origin.text)


def decide_limit(limit: Limit, rows: Sequence[Row]) -> Decision:
    """Return the verdict on a limit of the change of every tensor."""
    largest = 2.0**-limit.value if limit.kind == "bits" else limit.value
    measured = [row for row in rows if row["status"] == "measured"]
    beyond = [row for row in measured if row["relative"] is None or row["relative"] > largest]
    if beyond:
        worst = max(beyond, key=_size)
        size = "zeros became other numbers" if worst["relative"] is None else _text(_size(worst))
        count = f"{len(beyond)} of {len(measured)} tensors exceed it"
        return Decision(limit.text, "refuted", f"{worst['name']}: {size}; {count}")
    unseen = [row for row in rows if row["status"] != "measured"]
    if unseen:
        name = unseen[0]["name"] or unseen[0]["merged"]
        reason = f"{counted(len(unseen), 'tensor')} not measured: {name}: {unseen[0]['reason']}"
        return Decision(limit.text, "undetermined", reason)
    if not measured:
        return Decision(limit.text, "undetermined", "there are no tensors")
    worst = max(measured, key=_size)
    return Decision(
        limit.text, "confirmed", f"the largest is {worst['name']}: {_text(_size(worst))}"
    )


def _size(row: Row) -> float:
    return inf if row["relative"] is None else float(row["relative"])


def _text(relative: float) -> str:
    """Return a relative change in words, with its bits."""
    bits = f" ({-log2(relative):.2f} bits)" if relative > 0 else ""
    return f"a change of {relative:.3g} of its norm{bits}"
