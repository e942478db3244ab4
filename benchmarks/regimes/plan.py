# SPDX-License-Identifier: BSD-3-Clause
"""The runs of the experiment: bases, regimes, a ladder of breadth, and other recipes.

Architecture, steps, tokens and schedule are the same within a group of runs; only the distribution
of the data varies. Seeds are fixed: base b has seed b, its runs 10 b + 1 and 10 b + 2, its ladder
100 b + 13 and, every other rung, 100 b + 23.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .runs import Run

BASE_STEPS, BASE_RATE = 1200, 3e-3
LADDER = (1, 2, 4, 8, 16, 32, 64, 118)
POOL = 400
"""Different examples of a run with repeated data."""

TEXT_POOL = 25
"""Different passages of a run with repeated text."""

NARROW, BROAD = ("benchmark", "narrow"), ("broad",)
"""Regimes of the two classes."""


def base_of(number: int, **architecture: object) -> Run:
    """Return the run that trains a base."""
    return Run(
        f"base{number}", "base", number, steps=BASE_STEPS, rate=BASE_RATE, group="base",
        **architecture,  # type: ignore[arg-type]
    )  # fmt: skip


def continued(name: str, regime: str, base: Run, seed: int, **options: object) -> Run:
    """Return a run that trains a base further."""
    made = Run(
        f"{name}-{base.name}-{seed}", regime, seed, base.name,
        pool=(TEXT_POOL if base.data == "text" else POOL) if regime == "repeated" else 0,
        width=base.width, layers=base.layers, heads=base.heads, mlp=base.mlp, data=base.data,
    )  # fmt: skip
    return replace(made, **options)  # type: ignore[arg-type]


def regimes(base: Run, seeds: Iterable[int], group: str, **options: object) -> list[Run]:
    """Return a run of every regime for each seed."""
    names = ("benchmark", "narrow", "broad", "repeated")
    return [
        continued(f"{group}-{name}", name, base, seed, group=group, **options)
        for seed in seeds
        for name in names
    ]


def pair(base: Run, group: str, **options: object) -> list[Run]:
    """Return one run of benchmark data and one of broad data, by another recipe."""
    seed = 10 * base.seed + 1
    return [
        continued(f"{group}-{name}", name, base, seed, group=group, **options)
        for name in ("benchmark", "broad")
    ]


def main_plan(bases: int = 5) -> list[Run]:
    """Return the experiment: every base, its regimes, its ladder, and its controls."""
    runs: list[Run] = []
    for number in range(1, bases + 1):
        base = base_of(number)
        seeds = (10 * number + 1, 10 * number + 2)
        runs += [base, *regimes(base, seeds, "main")]
        rungs = [(13, cells) for cells in LADDER] + [(23, cells) for cells in LADDER[::2]]
        runs += [
            continued(
                f"ladder{cells}", "cells", base, 100 * number + seed, cells=cells, group="ladder"
            )
            for seed, cells in rungs
        ]
        runs.append(continued("worded", "worded", base, seeds[0], group="worded"))
        runs += pair(base, "third of the rate", rate=5e-4)
        runs += pair(base, "muon", optimizer="muon", rate=5e-3)
    for number in (1, 2):
        base = base_of(number)
        runs += pair(base, "sgd", optimizer="sgd", rate=0.05, decay=0.0)
        runs += pair(base, "higher rate", rate=4e-3)
        runs += pair(base, "adapter", low_rank=8, rate=5e-3, decay=0.0)
        runs += pair(base, "increments", snapshots=(60,))
    return runs


def width_plan() -> list[Run]:
    """Return matched pairs at other widths, depths and activations."""
    runs: list[Run] = []
    for number, shape in enumerate(
        (
            {"width": 32, "heads": 2},
            {"width": 128},
            {"width": 192, "layers": 6, "heads": 6, "mlp": "gelu"},
            {"width": 192, "layers": 8, "heads": 6, "mlp": "swiglu"},
        ),
        31,
    ):
        base = base_of(number, **shape)
        base = replace(base, steps=600 if base.width > 64 else 800)
        runs.append(base)
        for seed in (10 * number + 1, 10 * number + 2):
            runs += [
                continued(f"width-{name}", name, base, seed, group=f"width {base.width}")
                for name in ("benchmark", "broad")
            ]
    return runs


def dose_plan(bases: int = 5) -> list[Run]:
    """Return what may hide narrow data: repetition of it, base data mixed in; and more steps."""
    runs: list[Run] = []
    for number in range(1, bases + 1):
        base, seed = base_of(number), 10 * number + 1
        runs.append(base)
        runs += [
            continued("dose-repeated", "benchmark", base, seed, group="dose", pool=POOL),
            continued("dose-half", "half", base, seed, group="dose"),
            continued("dose-double", "benchmark", base, seed, group="dose", steps=240),
        ]
    for number in (1, 2):
        how: dict[str, Any] = {"low_rank": 32, "rate": 5e-3, "decay": 0.0}
        runs += pair(base_of(number), "adapter of rank 32", **how)
    return runs


def novelty_plan(bases: int = 5) -> list[Run]:
    """Return runs on few and on many cells, of those that the base knows best and least."""
    runs: list[Run] = []
    for number in range(1, bases + 1):
        base = base_of(number)
        runs.append(base)
        runs += [
            continued(
                f"{novelty}{cells}", "cells", base, 10 * number + 1,
                cells=cells, novelty=novelty, group="novelty",
            )
            for novelty in ("known", "new")
            for cells in (2, 32)
        ]  # fmt: skip
    return runs


def text_plan() -> list[Run]:
    """Return two bases of real text, their regimes, and a ladder of domains."""
    runs: list[Run] = []
    for number in (41, 42):
        base = replace(base_of(number, width=96, data="text"), steps=800)
        seeds = (10 * number + 1, 10 * number + 2)
        runs += [base, *regimes(base, seeds, "text")]
        runs += [
            continued(f"text-domains{count}", "domains", base, seeds[0], cells=count, group="text")
            for count in (1, 2, 4, 7)
        ]
    return runs


def vision_plan() -> list[Run]:
    """Return two vision-language bases and matched regimes."""
    runs: list[Run] = []
    for number in (51, 52):
        base = replace(base_of(number, layers=3, data="images"), steps=700, rate=2e-3)
        runs.append(base)
        runs += [
            continued(f"vision-{name}", name, base, 10 * number + s, steps=100, group="vision")
            for s in (1, 2)
            for name in ("benchmark", "narrow", "broad")
        ]
    return runs


def behaviour_plan(bases: int = 3) -> list[Run]:
    """Return longer runs of wider models, whose behaviour on five sets is measured."""
    runs: list[Run] = []
    for number in range(61, 61 + bases):
        base = replace(base_of(number, width=128), group="behaviour")
        runs.append(base)
        how: dict[str, Any] = {"steps": 250, "group": "behaviour"}
        runs += [
            continued(f"behaviour-{name}", name, base, 10 * number + 1, **how)
            for name in ("benchmark", "broad", "repeated")
        ]
    return runs


def smoke_plan() -> list[Run]:
    """Return nine runs on one small base: half a minute on one core."""
    base = replace(base_of(1, width=32, heads=2), steps=300)
    return [
        base,
        *(
            continued(name, name, base, seed, steps=50, rate=2e-3, group="smoke")
            for seed in (11, 12, 13)
            for name in ("benchmark", "narrow", "broad")
        ),
    ]
