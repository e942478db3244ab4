# SPDX-License-Identifier: BSD-3-Clause
"""Timing of a case: pinned threads, warm-up, alternating order, and small shapes in a smoke run.

    python -m pytest benchmarks/suites --benchmark-json=benchmarks/results/run.json

With ``--benchmark-disable`` every case runs on a small shape, only to see that it works.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import machine
import numpy as np
import pytest
from floors import Work, floor_of
from peak import peak
from peers_of_kernels import Peer
from workloads import TURNS

from sigmascope.bench.machine import describe

DISTRIBUTIONS = ("scipy", "scikit-learn", "torch")
"""Distributions, besides NumPy and sigmascope, whose versions affect a timing."""

LOAD_AT_START = os.getloadavg()

SHORT_SECONDS = 0.1

LONG_SECONDS = 5.0
"""A run that takes longer is timed once: without its own instructions, bf16 takes torch minutes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bench-threads",
        type=int,
        default=None,
        help="threads of every library; by default and at most as many as there are cores",
    )
    parser.addoption("--bench-large", action="store_true", help="order 8192 too, for an hour more")
    parser.addoption("--bench-small", action="store_true", help="small shapes and two rounds")


def is_smoke(config: pytest.Config) -> bool:
    return bool(config.getoption("benchmark_disable") or config.getoption("bench_small"))


@pytest.hookimpl(trylast=True)  # after the marks, so that these parameters vary fastest
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the methods in the module's PEERS; with a `turn` they alternate.

    Every other turn has them in reverse order.
    What drifts while a case is timed (clock rate, a neighbour) then drifts for all methods alike.
    """
    if "peer" not in metafunc.fixturenames:
        return
    peers: tuple[Peer, ...] = metafunc.module.PEERS
    if "turn" not in metafunc.fixturenames:
        metafunc.parametrize("peer", [_as_parameter(peer, peer) for peer in peers])
        return
    turns = 2 if is_smoke(metafunc.config) else TURNS
    metafunc.parametrize(
        ("peer", "turn"),
        [
            _as_parameter(peer, peer, turn)
            for turn in range(turns)
            for peer in (peers if turn % 2 == 0 else peers[::-1])
        ],
    )


def _as_parameter(peer: Peer, *values: Any) -> Any:
    missing = pytest.mark.skipif(not peer.installed, reason=f"{peer.package} is not installed")
    name = "-".join([peer.name, *(f"turn {turn}" for turn in values[1:])])
    return pytest.param(*values, id=name, marks=missing)


@pytest.fixture(scope="session", autouse=True)
def threads(request: pytest.FixtureRequest) -> int:
    return machine.pin(request.config.getoption("--bench-threads"))


@pytest.fixture(scope="session")
def smoke(request: pytest.FixtureRequest) -> bool:
    """Return True if the shapes are small, to see only that the cases work."""
    return is_smoke(request.config)


Measure = Callable[..., Any]


@pytest.fixture
def measure(benchmark: Any, smoke: bool) -> Measure:
    """Time `run()`, record the time, and return its result.

    `table` and `case` say where the number belongs; `work` is in units of 1e9 `unit`, for a rate;
    `prepare` runs before every round, untimed; `least_work` returns the work of a result, of which
    the floor is made (floors.py); other keywords are recorded with the time. `busy` is processor
    time over wall time: less than the number of threads where they had to share a core or wait.
    """

    def measured(
        run: Callable[[], Any],
        *,
        table: str,
        case: dict[str, Any],
        peer: Peer,
        rounds: int,
        work: float | None = None,
        unit: str = "",
        warmup_rounds: int = 1,
        prepare: Callable[[], None] | None = None,
        least_work: Callable[[Any], Work] | None = None,
        **more: Any,
    ) -> Any:
        busy: list[float] = []
        spent: list[float] = []
        rounds = min(rounds, 2) if smoke else rounds

        def once() -> Any:
            wall, used = time.perf_counter(), time.process_time()
            result = run()
            spent.append(time.perf_counter() - wall)
            busy.append((time.process_time() - used) / spent[-1])
            return result

        def settle() -> None:
            """Let the threads of the library that ran before go to sleep; wake the cores; prepare.

            A core that slept takes milliseconds to run at its rate: short runs would time that.
            """
            if not benchmark.disabled:
                time.sleep(0.05)
                began = time.perf_counter()
                while short() and time.perf_counter() - began < 0.05:
                    run()
            if prepare is not None:
                prepare()

        def short() -> bool:
            return bool(spent) and spent[-1] < SHORT_SECONDS

        if warmup_rounds and not benchmark.disabled:
            settle()
            once()
            warmup_rounds = 0
            if spent[-1] > LONG_SECONDS:
                rounds = 1
        benchmark.group = ", ".join([table, *(f"{key} {value}" for key, value in case.items())])
        benchmark.extra_info.update(table=table, case=case, method=peer.name, **more)
        result = benchmark.pedantic(
            once,
            setup=settle,
            rounds=rounds,
            warmup_rounds=warmup_rounds,
        )
        if least_work is not None:
            benchmark.extra_info["least_work"] = least_work(result)._asdict()
        if benchmark.stats is not None:
            benchmark.extra_info["busy"] = float(np.median(busy[-rounds:]))
            if work is not None:
                rate = work / benchmark.stats.stats.median / 1e9
                benchmark.extra_info.update(rate=rate, work=work / 1e9, unit=unit)
        return result

    return measured


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Leave the time of a wrong answer out of the results."""
    benchmark = getattr(item, "funcargs", {}).get("benchmark")
    if benchmark is not None and call.excinfo is not None:
        benchmark.has_error = True


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Record what affects a timing, and no host name."""
    machine_info.clear()
    machine_info.update(describe(machine.pin(config.getoption("--bench-threads")), DISTRIBUTIONS))


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    output_json["load_average_at_start"] = LOAD_AT_START[0]
    notes = [entry["extra_info"] for entry in output_json["benchmarks"]]
    works = [note["least_work"] for note in notes if "least_work" in note]
    threads = output_json["machine_info"]["threads"]
    output_json["peak"] = rates = peak(threads, [work["size"] for work in works])
    for note in notes:
        if "least_work" in note:
            note.update(floor_of(note["least_work"], rates))
