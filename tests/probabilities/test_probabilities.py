# SPDX-License-Identifier: BSD-3-Clause
"""A slice of the rates; that a promise which does not hold is found; that the page has them all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.probabilities.promise import P_VALUES, Level, Promise, Rate, fails
from tests.probabilities.table import BEGIN, END, PAGE, PROMISES, main, markdown, measured, overview

QUICK = {
    "increments": 40, "two runs": 200, "p_broad, own base": 200, "p_broad, other base": 200,
    "p_broad, two of the base": 200, "rank_p_broad": 200, "calibrated pair": 200,
    "error rate": 100, "place": 60, "trend with depth": 60, "roles": 100,
    "outlier of a role": 60, "median": 100, "alpha": 30, "mp_outliers": 8, "outlier channels": 8,
}  # fmt: skip
"""Runs of each promise in this slice."""

BROKEN = {
    ("increments", "all blocks AR(1) 0.6"), ("two runs", "increments share 1"),
    ("error rate", "bases differ more"), ("place", "related, 0.3"),
    ("trend with depth", "all roles AR(1) 0.6"), ("outlier of a role", "log-normal"),
}  # fmt: skip
"""Promises under noise by which they must be seen to fail, or these tests could not fail."""


@pytest.mark.parametrize("promise", [p for p in PROMISES if p.name in QUICK], ids=lambda p: p.name)
def test_a_promise_holds_under_its_premise(promise: Promise) -> None:
    for noise in promise.within:
        for rate in promise.measure(noise, QUICK[promise.name]):
            assert rate.holds, f"{noise}, {rate.level.words}: {rate.count} of {rate.trials}"


@pytest.mark.parametrize(("name", "noise"), sorted(BROKEN))
def test_a_promise_fails_where_its_premise_does(name: str, noise: str) -> None:
    (promise,) = (each for each in PROMISES if each.name == name)
    assert noise not in promise.within
    assert not all(rate.holds for rate in promise.measure(noise, 200))


def test_a_rate_holds_up_to_chance() -> None:
    level = Level("p ≤ 0.05", 0.05, 0.05)
    assert Rate("", "", True, level, 9, 100).holds
    assert not Rate("", "", True, level, 17, 100).holds
    assert not Rate("", "", True, fails(1e-6)[0], 1, 50).holds


def test_runs_have_seeds_of_their_own_and_the_same_again() -> None:
    seen: list[float] = []

    def uniform(rng: np.random.Generator) -> float:
        seen.append(rng.random())
        return seen[-1]

    promise = Promise("x", "x", "x", P_VALUES, {"a": uniform}, ("a",))
    one = promise.measure("a", 50)
    assert len(set(seen)) == 50
    assert promise.measure("a", 50) == one
    assert len(set(seen)) == 50
    replace(promise, name="y").measure("a", 50)
    assert len(set(seen)) == 100


def test_every_promise_and_noise_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = page.split(BEGIN)[1].split(END)[0]
    for promise in PROMISES:
        assert promise.says in table, promise.name
        section = table.split(f"## {promise.name}\n")[1].split("\n## ")[0]
        assert all(noise in section for noise in promise.cases), promise.name
        assert set(promise.within) <= promise.cases.keys(), promise.name


def test_the_table_tells_what_held_and_what_did_not(capsys: pytest.CaptureFixture[str]) -> None:
    def promise(least: float) -> Promise:
        cases = {"kept": lambda rng: rng.uniform(least, 1), "broken": lambda rng: 0.0}
        return Promise("x", "it", "kept", (P_VALUES[0],), cases, ("kept",))

    rates = measured(promise(0.1), 40)
    assert "| **kept** | 0 of 40 |" in markdown(promise(0.1), rates)
    assert "| 0 of 40 | 100 % (broken) |" in overview([(promise(0.1), rates)])
    assert all(rate.holds == rate.within for rate in rates)
    assert main(["--runs", "20", "--only", "rank_p", "--json"]) == 0
    assert '"promise": "rank_p_broad"' in capsys.readouterr().out
