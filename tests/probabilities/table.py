# SPDX-License-Identifier: BSD-3-Clause
"""The table of docs/probabilities.md: promises, noise and measured rates."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.probabilities.numerical import PROMISES as NUMERICAL
from tests.probabilities.promise import Promise, Rate
from tests.probabilities.statistical import PROMISES as STATISTICAL

PROMISES = (*STATISTICAL, *NUMERICAL)
PAGE = Path(__file__).parents[2] / "docs" / "probabilities.md"
BEGIN, END = "<!-- table: made by python -m tests.probabilities -->", "<!-- end of table -->"


def measured(promise: Promise, runs: int) -> list[Rate]:
    """Return the rates of a promise under every noise."""
    return [rate for noise in promise.cases for rate in promise.measure(noise, runs)]


def overview(results: Sequence[tuple[Promise, Sequence[Rate]]]) -> str:
    """Return the table of all promises with the largest rates under their premises and outside."""
    heads = ("", "premise", "stated", "largest, premise held", "largest, premise broken")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for promise, rates in results:
        stated = "<br>".join(f"{x.words}: {100 * x.rate:g} %" for x in promise.levels)
        worst = ["<br>".join(_largest(promise, rates, within)) for within in (True, False)]
        lines.append(f"| {promise.says} | {promise.premise} | {stated} | {worst[0]} | {worst[1]} |")
    return "\n".join(lines)


def _largest(promise: Promise, rates: Sequence[Rate], within: bool) -> Iterator[str]:
    for level in promise.levels:
        some = [rate for rate in rates if rate.level == level and rate.within == within]
        if some:
            rate = max(some, key=lambda rate: rate.share)
            yield f"{rate} ({rate.noise})" if rate.count else str(rate)


def markdown(promise: Promise, rates: Sequence[Rate]) -> str:
    """Return the section of a promise: the rates under each noise."""
    heading = f"## {promise.name}"
    if not any(rate.count for rate in rates):
        return f"{heading}\n\n{rates[0]} under each of: {', '.join(promise.cases)}."
    lines = [heading, "", f"| noise | {' | '.join(level.words for level in promise.levels)} |"]
    lines.append("|---" * (1 + len(promise.levels)) + "|")
    for noise in promise.cases:
        row = [str(rate) for rate in rates if rate.noise == noise]
        mark = "**" if noise in promise.within else ""
        lines.append(f"| {mark}{noise}{mark} | {' | '.join(row)} |")
    return "\n".join(lines)


def chosen(only: str | None) -> Iterator[Promise]:
    """Yield the promises whose names contain one of the words."""
    words = only.split(",") if only else [""]
    yield from (each for each in PROMISES if any(word in each.name for word in words))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the promises and write their table; return 1 if one fails under its premise."""
    parser = argparse.ArgumentParser(prog="python -m tests.probabilities", description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="runs of each promise and noise")
    parser.add_argument("--only", help="promises whose names contain one of these, by commas")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    parser.add_argument("--write", action="store_true", help=f"replace the table of {PAGE.name}")
    given = parser.parse_args(arguments)
    if given.write and given.only:
        parser.error("--write replaces the whole table: leave --only out")
    results = []
    for promise in chosen(given.only):
        rates = measured(promise, given.runs)
        results.append((promise, rates))
        for rate in rates if given.json else ():
            print(json.dumps(record_of(rate), ensure_ascii=False), flush=True)
        if not given.json:
            print(markdown(promise, rates), end="\n\n", flush=True)
    if given.write:
        before, after = PAGE.read_text(encoding="utf-8").split(BEGIN)
        body = "\n\n".join([overview(results), *(markdown(*each) for each in results)])
        rest = after.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{rest}", encoding="utf-8")
    broken = [rate for _, rates in results for rate in rates if rate.within and not rate.holds]
    for rate in broken:
        print(f"FAILS under its premise: {rate.promise}, {rate.noise}: {rate} {rate.level.words}")
    return int(bool(broken))


def record_of(rate: Rate) -> dict[str, str | float]:
    """Return a rate as plain JSON."""
    return {
        "promise": rate.promise,
        "noise": rate.noise,
        "within": rate.within,
        "level": rate.level.words,
        "stated": rate.level.rate,
        "count": rate.count,
        "trials": rate.trials,
    }
