# SPDX-License-Identifier: BSD-3-Clause
"""The plan of a scan or a comparison as a terminal table (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console

from sigmascope._words.rows import role_in_tower
from sigmascope._words.text import (
    amount,
    counted,
    dimensions,
    duration,
    printable,
    size,
)
from sigmascope.scanning import TensorPlan
from sigmascope.scanning.plans import Plan

from .tables import by_reason, print_section, show_table

_HEADERS = ["role", "shape", "dtype", "n", "effort", "passes", "read", "memory", "time"]
_ON_DEVICE = ["role", "shape", "dtype", "n", "effort", "passes", "copied", "device", "memory"]
"""For a CUDA device: copies of a matrix to it, and memory there, instead of the time."""


def show_plan(out: Console, plan: Plan) -> None:
    """Print a plan: by role and shape, refusals, and totals."""
    for source in plan.sources:
        out.print(printable(source), soft_wrap=True)
    out.print()
    if plan.accepted:
        headers = _ON_DEVICE if plan.device else _HEADERS
        show_table(out, "", headers, _lines(plan), left=3)
    more = "a pipe or --json prints all"
    refused = [(tensor.name, str(tensor.refused)) for tensor in plan.refused]
    by_reason(out, "Refused:", refused, more)
    by_reason(out, "Cannot be read:", plan.unreadable.items(), more)
    print_section(out, "Remarks:", list(plan.notes))
    _totals(out, plan)


def _lines(plan: Plan) -> list[list[str]]:
    """Return one line for all matrices or pairs of the same role, shape and plan."""
    several = len({tensor.tower for tensor in plan.accepted}) > 1
    groups: dict[tuple[str, ...], list[TensorPlan]] = {}
    for tensor in plan.accepted:
        role = role_in_tower(tensor.tower, tensor.role) if several else tensor.role
        shape = dimensions((tensor.rows, tensor.columns))
        once = tensor.stays_on_device if tensor.device_bytes else tensor.held
        read = "once" if once else "each pass"
        key = (role, shape, tensor.dtype, tensor.effort, str(tensor.passes), read)
        groups.setdefault(key, []).append(tensor)
    return [
        [
            role,
            shape,
            dtype,
            f"{len(group):,}",
            effort,
            passes if effort == "exact" else f"~{passes}",
            read,
            *(_amounts(group) if plan.device else _amount_and_time(group)),
        ]
        for (role, shape, dtype, effort, passes, read), group in groups.items()
    ]


def _amount_and_time(tensors: Sequence[TensorPlan]) -> tuple[str, str]:
    """Return the largest memory of a matrix, and the total time."""
    most = max(tensor.peak_bytes for tensor in tensors)
    return amount(most), duration(sum(tensor.seconds for tensor in tensors))


def _amounts(tensors: Sequence[TensorPlan]) -> tuple[str, str]:
    """Return the largest memory of a matrix on a device, and on the host.

    The CPU computes the change that an adapter makes, so it takes no memory on a device.
    """
    most = max(tensor.device_bytes for tensor in tensors)
    return amount(most) if most else "none", amount(max(t.peak_bytes for t in tensors))


def _totals(out: Console, plan: Plan) -> None:
    for line in _part(plan):
        out.print(line, soft_wrap=True)
    if plan.accepted:
        at_once = f", {plan.workers} at once" if plan.workers > 1 else ""
        time = f", in about {duration(plan.seconds)} "
        time += f"({duration(plan.least_seconds)} to {duration(plan.most_seconds)})"
        out.print(
            f"{counted(len(plan.accepted), plan.one, plan.many)}{at_once}: {size(plan.nbytes)} "
            f"stored, {size(plan.read_bytes)} read{'' if plan.device else time}.",
            soft_wrap=bool(plan.device),
        )
    for line in _memory(plan):
        out.print(line, soft_wrap=True)
    if plan.device:
        for line in _device(plan):
            out.print(line, soft_wrap=True)
        return
    rates = plan.rates
    parts = [f"{rates.float32 / 1e9:.0f} GFLOP/s in float32", counted(rates.threads, "thread")]
    parts += [f"files at {size(rates.file)}/s"] if rates.file else []
    out.print(f"Measured just now: {', '.join(parts)}.")


def _device(plan: Plan) -> Iterator[str]:
    """Yield sentences on the memory of the CUDA devices, and on what stays there."""
    assert plan.device is not None
    where = f"each of {plan.device}" if "," in plan.device else plan.device
    on_device = [tensor for tensor in plan.accepted if tensor.device_bytes]
    if on_device:
        most, limit = amount(plan.device_peak_bytes), amount(plan.device_memory)
        yield f"On {where} at most {most}; the {plan.what} may take {limit} there."
    for stays, words in ((True, "copied there once"), (False, "copied there at every pass")):
        count = sum(tensor.stays_on_device == stays for tensor in on_device)
        if count:
            verb = "is" if count == 1 else "are"
            yield f"{counted(count, plan.one, plan.many)} {verb} {words}."
    yield "The speed of a CUDA device is not measured: no time is estimated."


def _part(plan: Plan) -> Iterator[str]:
    """Yield sentences on the part that is planned, and on rows in the journal."""
    if plan.shard is not None:
        shard = plan.shard
        yield f"Part {shard} of the {plan.what}: {len(shard.positions):,} of {shard.total:,} rows."
    if plan.kept:
        noun = "row" if plan.kept == 1 else "rows"
        yield f"The journal already has the {noun} of {counted(plan.kept, plan.one, plan.many)}."


def _memory(plan: Plan) -> Iterator[str]:
    """Yield sentences on the memory of the run, its limit, and refusals for lack of memory."""
    limit, refused, short = amount(plan.memory_limit), plan.refused, plan.refused_for_memory
    if plan.accepted:
        where = f" in {counted(plan.workers, 'process', 'processes')}" if plan.processes else ""
        most = f"At most {amount(plan.peak_bytes)} of memory{where}"
        if plan.peak_bytes <= plan.memory_limit:
            yield f"{most}; the limit is {limit}."
        else:
            yield (
                f"{most}: the limit of {limit} applies to what grows with a matrix; the "
                f"{plan.what} may take {amount(plan.floor_bytes)} whatever the limit is."
            )
    if refused:
        reason = "reason" if len(refused) == 1 else "reasons"
        yield f"{counted(len(refused), plan.one, plan.many)} refused, with the {reason} above."
    if short:
        yield (
            "The smallest limit at which nothing is refused for lack of memory is "
            f"{amount(plan.sufficient_limit)}, instead of {limit}."
        )
