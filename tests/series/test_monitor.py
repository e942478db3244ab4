# SPDX-License-Identifier: BSD-3-Clause
"""A monitored model: its rows, which tensors are computed again, and the order within a budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support.analyses import before_each_row_of_a_monitor
from tests.support.scans import bits

import sigmascope as ss
from sigmascope.series import Monitor

UP, DOWN = "layers.{}.mlp.up_proj.weight", "layers.{}.mlp.down_proj.weight"


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def weights(layers: int = 3) -> dict[str, Any]:
    names = [name.format(i) for i in range(layers) for name in (UP, DOWN)]
    return {name: normal(12, 8, seed=i) for i, name in enumerate(names)}


class Clock:
    """A clock that the test sets, and that each analysis moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cost: Callable[[str], float]) -> None:
        self.now = 0.0
        self.analysed: list[str] = []

        def listener(name: str) -> None:
            self.now += cost(name)
            self.analysed.append(name)

        before_each_row_of_a_monitor(monkeypatch, listener)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock by which each analysis takes a second."""
    return Clock(monkeypatch, lambda name: 1.0)


def without(rows: Any) -> list[dict[str, Any]]:
    """Rows without the step and the columns that may differ."""
    return [{key: row[key] for key in row if key != "step"} for row in bits(rows)]


# ----------------------------------------------------------------------------------------- rows


def test_rows_are_those_of_a_scan() -> None:
    bad = normal(6, 5)
    bad[1, 2] = np.nan
    model = weights(1) | {
        "layers.0.input_layernorm.weight": normal(8).astype(ml_dtypes.bfloat16),
        "half": normal(9, 7).astype(ml_dtypes.bfloat16),
        "experts": normal(2, 8, 6),
        "bad": bad,
        "ids": np.arange(6),
        "text": "no tensor",
        "empty": np.empty((0, 3)),
    }
    monitor = Monitor(model, every=5, budget=None, k=3)
    assert monitor.step(3) is None
    rows = monitor.step(5)
    assert rows is not None
    assert {row["step"] for row in rows} == {5}
    scanned = {row["name"]: row for row in without(ss.scan(model, k=3))}
    assert {row["name"]: row for row in without(rows)} == scanned
    assert list(rows[0]) == ["step", *ss.scan(model, k=3).schema.columns]
    (failed,) = (row for row in rows if row["status"] == "failed")
    assert (failed["name"], failed["nan"], failed["first_nonfinite"]) == ("bad", 1, [1, 2])
    assert "NaN" in failed["reason"]
    assert monitor.step(5) is None  # the same step again


@pytest.mark.parametrize("effort", ["top", "density", "exact"])
def test_options_are_those_of_a_scan(effort: str) -> None:
    how: dict[str, Any] = {"effort": effort, "k": 3, "seed": 7, "include": "*up*"}
    monitor = Monitor(weights(), every=1, budget=None, measures="alpha_farms", **how)
    rows = [row for row in monitor.step(0) or () if row["status"] == "analysed"]
    scanned = ss.scan(weights(), measures="alpha_farms", **how).analysed
    assert without(rows) == without(scanned)
    assert rows[0]["alpha_farms"] is not None


def test_only_what_changed_is_computed_again(clock: Clock) -> None:
    model = weights(2) | {"layers.0.input_layernorm.weight": normal(8)}
    monitor = Monitor(model, every=1, budget=None, clock=clock)
    first = monitor.step(1)
    assert len(clock.analysed) == 4
    assert first is not None
    model[UP.format(1)][3, 3] *= 2  # in place
    model[DOWN.format(0)] = 2 * model[DOWN.format(0)]  # a power of two: the fingerprint is the same
    second = monitor.step(2)
    assert second is not None
    assert (
        set(clock.analysed[4:]) == {UP.format(1), DOWN.format(0)} == {*monitor.decision["analysed"]}
    )
    assert len(monitor.decision["unchanged"]) == 3
    assert without(second) == without(ss.scan(model))
    model["layers.0.input_layernorm.weight"][0] += 1
    monitor.step(3)
    assert monitor.decision["analysed"] == ["layers.0.input_layernorm.weight"]
    for name in model:
        model[name] = model[name].copy()  # other memory, the same numbers
    monitor.step(4)
    assert monitor.decision["analysed"] == []


def test_a_row_that_failed_is_made_again_when_the_numbers_are_others() -> None:
    model = {"w": normal(6, 5)}
    model["w"][0, 0] = np.inf
    monitor = Monitor(model, every=1, budget=None)
    ((first,), (same,)) = (monitor.step(step) or [] for step in (1, 2))
    assert (first["status"], first["inf"], same["reason"]) == ("failed", 1, first["reason"])
    assert monitor.decision["unchanged"] == ["w"]
    model["w"][0, 0] = 1.0
    (good,) = monitor.step(3) or ()
    assert good["status"] == "analysed"


def test_tied_weights_are_analysed_once_and_listed_twice(clock: Clock) -> None:
    shared = normal(12, 8)
    model = {"model.embed_tokens.weight": shared, "lm_head.weight": shared}
    monitor = Monitor(model, every=1, budget=None, clock=clock)
    for step in (1, 2):
        first, second = monitor.step(step) or ()
        assert first["status"] == "analysed"
        assert second["name"] == "lm_head.weight"
        assert second["reason"] == "shares storage with model.embed_tokens.weight"
        shared *= 3
    assert clock.analysed == ["model.embed_tokens.weight"] * 2
    model["lm_head.weight"] = shared.copy()
    assert [row["status"] for row in monitor.step(3) or ()] == ["analysed"] * 2


def test_tensors_that_appear_and_vanish_are_named() -> None:
    model = weights(1)
    monitor = Monitor(model, every=1, budget=None)
    monitor.step(1)
    del model[UP.format(0)]
    model["layers.1.mlp.down_proj.weight"] = normal(4, 3)
    model["note"] = None
    rows = monitor.step(2) or []
    assert monitor.decision["vanished"] == [UP.format(0)]
    assert monitor.decision["appeared"] == [DOWN.format(1), "note"]
    assert {row["name"] for row in rows} == {DOWN.format(0), DOWN.format(1), "note"}
    model.pop(DOWN.format(1))
    model[UP.format(0)] = normal(12, 8)
    assert {row["name"] for row in monitor.step(3) or ()} == {DOWN.format(0), UP.format(0)}
    assert monitor.decision["analysed"] == [UP.format(0)]  # forgotten when it vanished


def test_memory_that_does_not_suffice_is_the_reason_of_a_row() -> None:
    model = {"large": normal(1200, 1200)}
    monitor = Monitor(model, every=1, budget=None, effort="exact", memory_limit="1MB")
    (row,) = monitor.step(1) or ()
    assert (row["status"], row["failure"]) == ("failed", "environment")
    assert "the memory limit is" in row["reason"]
    assert monitor.step(2)
    assert monitor.decision["analysed"] == ["large"]  # there may be more memory by now
    assert monitor.decision["unchanged"] == []


# --------------------------------------------------------------------------------------- budget


def test_a_share_of_the_time_is_kept_and_the_rotation_is_fair(clock: Clock) -> None:
    """6 matrices of 1 s each, 10 s a step, a tenth of the time: one matrix a step, in turn."""
    model = weights()
    monitor = Monitor(model, every=1, budget="10%", clock=clock)
    for step in range(1, 31):
        clock.now += 10 - (1 if step > 1 else 0)
        for x in model.values():
            x *= 1.01
        rows = monitor.step(step)
        assert rows is not None
        spent, allowed = monitor.decision["spent"], monitor.decision["allowed"]
        assert spent <= allowed + 1e-9
        assert len(monitor.decision["waiting"]) == 6 - len(rows)
    assert clock.analysed[:12] == list(model) * 2
    counts = [clock.analysed.count(name) for name in model]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) >= 28


def test_what_waits_and_why_is_reported(clock: Clock) -> None:
    monitor = Monitor(weights(1), every=1, budget=0.25, clock=clock)
    clock.now = 1.0
    assert len(monitor.step(1) or ()) == 1
    assert monitor.decision == {
        "step": 1,
        "elapsed": 2.0,
        "allowed": 0.5,
        "spent": 1.0,
        "analysed": [UP.format(0)],
        "unchanged": [],
        "waiting": [DOWN.format(0)],
        "appeared": [],
        "vanished": [],
        "left_out": [],
        "replaced": [],
        "reason": "1 s are spent, 0.5 s are allowed; the next matrix, "
        "layers.0.mlp.down_proj.weight, takes an unknown time",
    }
    assert repr(monitor) == "Monitor(2 matrices, 1.0 of 2.0 s)"


def test_a_matrix_that_takes_long_waits_and_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = weights(1)
    up, down = model
    clock = Clock(monkeypatch, lambda name: 20.0 if name == up else 1.0)
    monitor = Monitor(model, every=1, budget="10%", clock=clock)
    for step in range(100):
        for x in model.values():
            x *= 1.01
        monitor.step(step)
        clock.now += 10.0
    assert clock.analysed[:4] == [up, down, up, down]
    assert abs(clock.analysed.count(up) - clock.analysed.count(down)) <= 1
    # One visit whose cost was not known may be beyond the budget; its share is then waited for.
    assert monitor.decision["spent"] <= max(monitor.decision["allowed"], 20.0) + 1e-9


def test_the_model_is_not_asked_where_nothing_is_affordable(clock: Clock) -> None:
    model, events = weights(1), []

    def current() -> dict[str, Any]:
        events.append(clock.now)
        return model

    monitor = Monitor(current, every=1, budget="1%", clock=clock)
    monitor.step(1)
    assert len(events) == 2
    clock.now += 10
    assert monitor.step(2) == []
    assert len(events) == 2
    assert monitor.decision["waiting"] == [DOWN.format(0), UP.format(0)]
    clock.now += 1000
    assert [row["name"] for row in monitor.step(3) or ()] == [DOWN.format(0), UP.format(0)]


def test_the_time_in_which_a_model_gathers_its_tensors_counts(clock: Clock) -> None:
    """5 s for the tensors and 1 s for a visit, every 10 s, of which a tenth may be spent."""
    model, events = weights(1), []

    def gathered() -> dict[str, Any]:
        clock.now += 5.0
        events.append(clock.now)
        for x in model.values():
            x *= 1.01
        return model

    monitor = Monitor(gathered, every=1, budget="10%", clock=clock)
    monitor.step(0)
    for step in range(1, 40):
        clock.now += 10.0
        before = len(events)
        rows = monitor.step(step)
        assert bool(rows) == (len(events) > before)
        if rows:  # the budget may be exceeded by one visit whose time is not known
            assert monitor.decision["spent"] <= monitor.decision["allowed"] + 1.0
    assert 5 <= len(events) <= 8


def test_the_time_of_a_step_that_failed_counts(clock: Clock) -> None:
    """A visit takes 1 s and the failure 20 s: a quarter of the time is 21 s from 84 s on."""

    def gathered() -> dict[str, Any]:
        if clock.now == 40.0:
            clock.now = 60.0
            raise OSError("a node is down")
        return weights(1)

    monitor = Monitor(gathered, every=1, budget="25%", clock=clock)
    monitor.step(1)
    clock.now = 40.0
    with pytest.raises(OSError, match="a node is down"):
        monitor.step(2)
    for step, now, count in ((3, 83.0, 0), (4, 84.0, 1)):
        clock.now = now
        assert (len(monitor.step(step) or ()), monitor.decision["spent"]) == (count, 21.0 + count)


@pytest.mark.parametrize(
    ("budget", "share"),
    [("1%", 0.01), (" 0.5 % ", 0.005), (0.25, 0.25), (1.0, 1.0), ("100%", 1.0), (None, None)],
)
def test_a_budget_is_a_share_of_time(budget: Any, share: float | None, clock: Clock) -> None:
    monitor = Monitor(weights(1), every=1, budget=budget, clock=clock)
    clock.now = 100.0
    monitor.step(1)
    elapsed, allowed = monitor.decision["elapsed"], monitor.decision["allowed"]
    assert elapsed >= 100
    assert allowed == (None if share is None else pytest.approx(share * elapsed))


@pytest.mark.parametrize("budget", ["0%", "101%", -0.1, "much", math.nan, ""])
def test_budgets_that_are_not_shares(budget: Any) -> None:
    with pytest.raises(ValueError, match=r"budget must be a share .* such as '1%' or 0\.01"):
        Monitor(weights(), budget=budget)


@pytest.mark.parametrize("budget", [1, "1", " 1 "])
def test_a_budget_of_one_or_all_percent(budget: Any) -> None:
    with pytest.raises(ValueError, match=r"budget '? ?1 ?'? may mean '1%' or '100%'"):
        Monitor(weights(), budget=budget)


def test_a_cold_first_visit_is_not_the_estimate_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first takes 100 times as long: all others are visited as soon as its share is over."""
    model = {f"{i}.weight": normal(12, 8, seed=i) for i in range(8)}
    clock = Clock(monkeypatch, lambda name: 1.0 if name == "0.weight" else 0.01)
    monitor = Monitor(model, every=1, budget="10%", clock=clock)
    assert len(monitor.step(0) or ()) == 1
    clock.now = 9.2
    assert monitor.step(1) == []
    clock.now = 10.8  # 1.08 s are allowed: a second estimate of 1 s would wait until 20 s
    monitor.step(2)
    assert clock.analysed == list(model)


def test_the_first_step_sees_one_place_whatever_the_budget() -> None:
    """By the clock of this machine no time is allowed when the training begins."""
    monitor = Monitor(weights(), every=100, budget="0.0001%")
    assert [row["name"] for row in monitor.step(0) or ()] == [UP.format(0)]
    assert len(monitor.decision["waiting"]) == 5
    assert monitor.step(100) == []


# ------------------------------------------------------------------------------------------- log


@pytest.mark.parametrize("names", [(UP.format(0), DOWN.format(0)), ("0.weight", "2.weight")])
def test_values_are_logged(names: tuple[str, str]) -> None:
    class Writer:
        """The method of torch's SummaryWriter, whose names and order these are."""

        def __init__(self) -> None:
            self.scalars: list[tuple[str, float, int]] = []

        def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
            self.scalars.append((tag, scalar_value, global_step))

    model = {name: normal(12, 8) for name in names} | {"bad": np.full((3, 2), np.nan)}
    writer, measures = Writer(), ["stable_rank", "fro_norm"]
    how: dict[str, Any] = {"every": 2, "budget": None, "measures": measures}
    monitor = Monitor(model, log=writer.add_scalar, **how)
    rows = [row for step in range(4) for row in monitor.step(step) or ()]
    assert writer.scalars == [
        (f"{measure}/{row['name']}", row[measure], row["step"])
        for row in rows
        if row["name"] != "bad"
        for measure in measures
    ]
    assert len(writer.scalars) == 8


# -------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every must be at least 1, not 0"),
        ({"measures": "unheard_of"}, "no column 'unheard_of' with a number"),
        ({"measures": ["role"]}, "no column 'role' with a number"),
        ({"effort": "much"}, "effort must be one of"),
        ({"include": "*nothing*"}, "no tensor matches"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Monitor(weights(), **options)


def test_models_of_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match=r"expected a module, a mapping .*; got int"):
        Monitor(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"expected a module, a mapping .*; got list"):
        Monitor(lambda: [1])  # type: ignore[arg-type, return-value]
    monitor = Monitor(weights(1), every=1, budget=None)
    monitor.step(5)
    with pytest.raises(ValueError, match="step 4 cannot follow step 5"):
        monitor.step(4)
