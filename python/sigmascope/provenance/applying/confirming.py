# SPDX-License-Identifier: BSD-3-Clause
"""Verification of a written folder, with bytes where the numbers cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sigmascope import Checkpoint, open_checkpoint
from sigmascope.extension.pairs import Scannable
from sigmascope.extension.safetensors import Header, TensorEntry, read_header
from sigmascope.provenance.merges import Verification, verify
from sigmascope.provenance.merges.tensors import CHANGED, IDENTICAL, SKIPPED

from .blocks import COPIED
from .plan import TensorPlan
from .shards import Row, Shard


def verify_folder(
    base: Checkpoint,
    folder: Path,
    donors: Sequence[Scannable],
    weights: Sequence[float],
    journal: Path,
) -> Verification:
    """Verify that a folder is base + weights . changes."""
    claim = "weights=" + ",".join(repr(weight) for weight in weights)
    written = open_checkpoint(folder, reading=base.reading)
    return verify(base, written, list(donors), expect=claim, resume=journal)


def compare_copies(verification: Verification, shards: Sequence[Shard]) -> Verification:
    """Compare the bytes of copied tensors that `verify` did not compare, such as codes."""
    plans = {plan.name: plan for shard in shards for plan in shard.plans if plan.is_copied}
    copies = _Copies(shards)
    rows: list[Row] = []
    for row in verification.rows:
        plan = plans.get(row["name"])
        if row["status"] == SKIPPED and plan is not None:
            same = copies.are_equal(plan)
            row = row | {
                "status": IDENTICAL if same else CHANGED,
                "reason": None,
                "note": "compared byte for byte",
                "changed": int(not same),
                "numbers": plan.numbers,
                "formats": dict.fromkeys(("base", "merged", "change"), plan.dtype.lower()),
            }
        rows.append(row)
    return replace(verification, rows=rows)


class _Copies:
    def __init__(self, shards: Sequence[Shard]) -> None:
        self._files: dict[str, Path] = {
            plan.name: shard.path for shard in shards for plan in shard.plans
        }
        self._headers: dict[Path, tuple[Header, dict[str, TensorEntry]]] = {}

    def are_equal(self, plan: TensorPlan) -> bool:
        """Return whether a tensor has the bytes of the base."""
        path = self._files[plan.name]
        if path not in self._headers:
            header = read_header(path)
            self._headers[path] = header, {entry.name: entry for entry in header.entries}
        header, entries = self._headers[path]
        entry = entries[plan.name]
        if entry.nbytes != plan.entry.nbytes:
            return False
        for start in range(0, entry.nbytes, COPIED):
            count = min(COPIED, entry.nbytes - start)
            before = plan.header.read(plan.entry.offset + start, count, "buffered")
            if bytes(before) != bytes(header.read(entry.offset + start, count, "buffered")):
                return False
        return True
