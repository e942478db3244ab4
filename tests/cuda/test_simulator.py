# SPDX-License-Identifier: BSD-3-Clause
"""The simulated device notices planted mistakes, and finds none where there is none."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from tests.support.cuda_builds import (
    ASAN,
    CUDA,
    PLAIN,
    ROOT,
    TSAN,
    Build,
    built,
    compiler,
    run_program,
)
from tests.support.tiers import parametrize_builds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.unsanitized,
    pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler"),
]

HERE = ROOT / "tests" / "cuda"
Program = Callable[[Build], Path]
SOURCES = [HERE / "planted.cu", HERE / "planted_main.cpp", CUDA / "memory" / "memory_pool.cpp"]
MISTAKES = re.findall(
    r"^  (\w+),$", (HERE / "planted.hpp").read_text(encoding="utf-8"), flags=re.MULTILINE
)
RACES_ALONE = ("no_atomic",)
"""Mistakes that show in no value, because fibers take turns: ThreadSanitizer sees them."""

ORDERS, TIMINGS, SEEDS = range(3), range(3), range(3)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, objects: Path) -> Program:
    """Return a function that makes a program and returns its file."""
    folder = tmp_path_factory.mktemp("cuda")
    return cache(lambda build: built(build, SOURCES, folder / build.name, objects=objects))


def run(build: Build, program: Program, *arguments: int) -> tuple[int, str]:
    """Return the exit status and what was printed."""
    return run_program(build, program(build), *arguments)


def test_there_are_a_dozen_kinds_of_mistakes() -> None:
    assert MISTAKES[0] == "none"
    assert len(MISTAKES) - 1 >= 12


@parametrize_builds(PLAIN, ASAN, TSAN)
def test_right_kernels_are_right_in_every_order(build: Build, program: Program) -> None:
    orders, seeds = (ORDERS, SEEDS) if build is PLAIN else (ORDERS[-1:], SEEDS[:1])
    for order, timing, seed in itertools.product(orders, TIMINGS, seeds):
        status, text = run(build, program, 0, order, timing, seed)
        assert status == 0, text
        assert " 0 objects left; right answers" in text


@pytest.mark.parametrize("mistake", [m for m in MISTAKES[1:] if m not in RACES_ALONE])
def test_a_planted_mistake_is_noticed(mistake: str, program: Program) -> None:
    number = MISTAKES.index(mistake)
    assert any(
        run(PLAIN, program, number, order, timing, seed)[0]
        for order, timing, seed in itertools.product(ORDERS, TIMINGS, SEEDS)
    )


@pytest.mark.nightly
@pytest.mark.parametrize(
    "mistake",
    [
        "no_atomic",
        "barrier_before_read",
        "barrier_before_refill",
        "warp_barrier",
        "pinned_refilled",
        "panel_not_awaited",
        "answer_not_awaited",
    ],
)
def test_a_race_is_reported_as_one(mistake: str, program: Program) -> None:
    assert any(
        "WARNING: ThreadSanitizer: data race"
        in run(TSAN, program, MISTAKES.index(mistake), order, timing, 1)[1]
        for order, timing in itertools.product(ORDERS, TIMINGS[:2])
    )


@pytest.mark.nightly
@pytest.mark.parametrize("mistake", ["past_shared", "no_guard"])
def test_a_step_past_the_end_is_reported_as_one(mistake: str, program: Program) -> None:
    status, text = run(ASAN, program, MISTAKES.index(mistake), 0, 1, 1)
    assert status != 0
    assert "AddressSanitizer" in text


def test_any_call_may_fail_and_nothing_is_left_behind(program: Program) -> None:
    _, text = run(PLAIN, program, 0, 0, 1, 1)
    calls = int(text.split()[0])
    failed = 0
    for number in range(calls):
        status, text = run(PLAIN, program, 0, 0, 1, 1, number)
        assert " 0 objects left" in text, f"call {number}: {text}"
        assert status in (0, 1)
        failed += status
    assert failed > calls / 2  # the rest are calls of destructors, which must not throw


def test_the_runtime_and_the_language_do_what_is_documented(tmp_path: Path, objects: Path) -> None:
    sources = [
        HERE / "runtime_kernels.cu",
        HERE / "runtime_main.cpp",
        CUDA / "memory" / "memory_pool.cpp",
    ]
    made = built(ASAN, sources, tmp_path, objects=objects)
    done = subprocess.run([str(made)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
