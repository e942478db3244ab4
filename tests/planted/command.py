# SPDX-License-Identifier: BSD-3-Clause
"""Plant the mistakes one at a time, run the nearest tests, and say which were noticed."""

from __future__ import annotations

import argparse
import json
import os
import queue
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.planted.mistake import ROOT, Mistake, read_mistakes
from tests.planted.overlay import Outcome, Overlay

SECONDS = 80.0
SHORT_TIER = ("-m", "not slow and not nightly")
GOAL = 0.9


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mistakes; return 1 if fewer than nine in ten are noticed, or one is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("--rooms", help="rooms, with commas; default: all")
    parser.add_argument("--only", default="", help="mistakes whose names contain this")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of tests for each mistake")
    parser.add_argument("--slow", action="store_true", help="run the slow tier as well")
    parser.add_argument("--equivalent", action="store_true", help="try the equivalent ones as well")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "planted")
    parser.add_argument("--json", type=Path, help="where to write the outcomes")
    given = parser.parse_args(arguments)
    rooms = given.rooms.split(",") if given.rooms else None
    chosen = [
        mistake
        for mistake in read_mistakes()
        if (rooms is None or mistake.room in rooms) and given.only in mistake.name
    ]
    if not chosen:
        parser.error("no mistake has these rooms and names")
    equivalent = Counter(mistake.room for mistake in chosen if mistake.equivalent)
    tried = [mistake for mistake in chosen if given.equivalent or not mistake.equivalent]
    tier = ("-m", "") if given.slow else SHORT_TIER
    outcomes = try_all(tried, given.folder, given.workers, given.seconds, tier)
    print(summarize(outcomes, equivalent))
    if given.json:
        given.json.write_text(json.dumps([record_of(each) for each in outcomes], indent=1) + "\n")
    noticed = sum(outcome.verdict == "noticed" for outcome in outcomes)
    broken = any(outcome.verdict == "broken" for outcome in outcomes)
    return int(broken or noticed < GOAL * len(outcomes))


def try_all(
    mistakes: Sequence[Mistake], folder: Path, workers: int, seconds: float, tier: Sequence[str]
) -> list[Outcome]:
    """Try every mistake, those of compiled files in one overlay, the others in all of them."""
    overlays = [Overlay(folder / str(number)) for number in range(workers)]
    error = overlays[0].build()
    if error:
        sys.exit(error)
    for overlay in overlays[1:]:
        overlay.take_build_of(overlays[0])
    compiled: queue.SimpleQueue[Mistake] = queue.SimpleQueue()
    others: queue.SimpleQueue[Mistake] = queue.SimpleQueue()
    for mistake in mistakes:
        (compiled if mistake.compiled else others).put(mistake)
    outcomes: list[Outcome] = []

    def work(overlay: Overlay, waiting: queue.SimpleQueue[Mistake]) -> None:
        while True:
            try:
                mistake = waiting.get_nowait()
            except queue.Empty:
                break
            outcome = overlay.try_mistake(mistake, seconds, tier)
            if outcome.verdict == "noticed" and not overlay.passes_without(outcome, tier):
                outcome = Outcome(mistake, "broken", f"{outcome.by} fails without it", 0.0)
            outcomes.append(outcome)
            print(describe(outcome), flush=True)

    def work_on_both(overlay: Overlay) -> None:
        work(overlay, compiled)
        overlay.build()  # without the last mistake
        work(overlay, others)

    threads = [threading.Thread(target=work_on_both, args=overlays[:1])]
    threads += [threading.Thread(target=work, args=(each, others)) for each in overlays[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    order = {mistake: i for i, mistake in enumerate(mistakes)}
    return sorted(outcomes, key=lambda outcome: order[outcome.mistake])


def describe(outcome: Outcome) -> str:
    """Return a line: the verdict, the mistake, its file and the test that noticed it."""
    where = f" by {outcome.by}" if outcome.by else ""
    return f"{outcome.verdict:<11} {outcome.seconds:5.1f} s  {outcome.mistake}{where}"


def summarize(outcomes: Sequence[Outcome], equivalent: Counter[str]) -> str:
    """Return a table: of each room, how many mistakes were noticed, missed, and equivalent."""
    verdicts = ("noticed", "missed", "out of time", "broken")
    lines = [f"| room | {' | '.join(verdicts)} | equivalent |", "|---" * 6 + "|"]
    rooms = sorted({outcome.mistake.room for outcome in outcomes} | set(equivalent))
    for room in rooms:
        counts = Counter(each.verdict for each in outcomes if each.mistake.room == room)
        cells = [str(counts[verdict]) for verdict in verdicts]
        lines.append(f"| {room} | {' | '.join(cells)} | {equivalent[room]} |")
    total = Counter(outcome.verdict for outcome in outcomes)
    cells = [str(total[verdict]) for verdict in verdicts]
    lines.append(f"| all | {' | '.join(cells)} | {equivalent.total()} |")
    share = total["noticed"] / max(len(outcomes), 1)
    return "\n".join(lines) + f"\n{share:.0%} of {len(outcomes)} mistakes were noticed"


def record_of(outcome: Outcome) -> dict[str, str | float]:
    """Return an outcome as plain JSON."""
    return {
        "room": outcome.mistake.room,
        "name": outcome.mistake.name,
        "file": outcome.mistake.file,
        "verdict": outcome.verdict,
        "by": outcome.by,
        "seconds": round(outcome.seconds, 1),
    }
