# SPDX-License-Identifier: BSD-3-Clause
"""The plan of a scan as a terminal table (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from sigmascope.scanning import ScanPlan, TensorPlan
from sigmascope.text import counted, duration, printable, size, times
from sigmascope.threads import amount

from .tables import listed, show_table

_HEADERS = ["role", "shape", "dtype", "n", "effort", "passes", "read", "memory", "time"]


def show_plan(out: Console, plan: ScanPlan) -> None:
    """Print what a scan will do: by role and shape, what it refuses, and the totals."""
    out.print(printable(plan.checkpoint), soft_wrap=True)
    out.print()
    if plan.accepted:
        show_table(out, "", _HEADERS, _lines(plan.accepted), left=3)
    listed(out, "Refused:", [f"{tensor.name}: {tensor.refused}" for tensor in plan.refused])
    listed(out, "Cannot be read:", [f"{name}: {why}" for name, why in plan.unreadable.items()])
    listed(out, "Remarks:", list(plan.notes))
    _totals(out, plan)


def _lines(tensors: Sequence[TensorPlan]) -> list[list[str]]:
    """One line for all matrices that are alike in what is done with them."""
    several = len({tensor.tower for tensor in tensors}) > 1
    groups: dict[tuple[str, ...], list[TensorPlan]] = {}
    for tensor in tensors:
        role = f"{tensor.tower} {tensor.role}" if several else tensor.role
        shape = times((tensor.rows, tensor.columns))
        read = "once" if tensor.held else "each pass"
        key = (role, shape, tensor.dtype, tensor.effort, str(tensor.passes), read)
        groups.setdefault(key, []).append(tensor)
    return [
        [
            role,
            shape,
            dtype,
            f"{len(found):,}",
            effort,
            passes if effort == "exact" else f"~{passes}",
            read,
            amount(max(tensor.peak_bytes for tensor in found)),
            duration(sum(tensor.seconds for tensor in found)),
        ]
        for (role, shape, dtype, effort, passes, read), found in groups.items()
    ]


def _totals(out: Console, plan: ScanPlan) -> None:
    rates = plan.rates
    at_once = f", {plan.workers} at once" if plan.workers > 1 else ""
    out.print(
        f"{counted(len(plan.accepted), 'matrix', 'matrices')}{at_once}: {size(plan.nbytes)} "
        f"stored, {size(plan.read_bytes)} read, in about {duration(plan.seconds)} "
        f"({duration(plan.least_seconds)} to {duration(plan.most_seconds)})."
    )
    out.print(
        f"At most {amount(plan.peak_bytes)} of memory; the limit is "
        f"{amount(plan.options['memory_limit'])}."
    )
    parts = [f"{rates.float32 / 1e9:.0f} GFLOP/s in float32", f"{rates.threads} threads"]
    parts += [f"files at {size(rates.file)}/s"] if rates.file else []
    out.print(f"Measured just now: {', '.join(parts)}.")
