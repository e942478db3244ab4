# SPDX-License-Identifier: BSD-3-Clause
"""The model of an H100: its arithmetic from given counts, and its tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.experiments import model_h100
from benchmarks.experiments.model_h100 import NUMBERS, Search
from tests.support.device_steps import Step

STEP = Step(1792, 6, 0, 1_000_000_000, 900_000_000, 10_000_000, 4_000_000, ())
SEARCH = Search(2 * NUMBERS, 0, STEP, STEP, (True, True), 20, [1e-3, 2e-3], 22.0, 5.0)


def test_a_step_takes_as_long_as_the_slowest_of_bytes_instructions_and_products() -> None:
    of_bytes = model_h100.step_seconds(STEP, True)
    assert of_bytes == pytest.approx(1e9 / 3e12)
    twice = replace(STEP, moved=2 * STEP.moved)
    assert model_h100.step_seconds(twice, True) == pytest.approx(2 * of_bytes)
    issuing = replace(STEP, instructions=1_000_000_000)
    assert model_h100.step_seconds(issuing, False) == pytest.approx(1e9 / (132 * 4 * 0.875e9))
    multiplying = replace(STEP, products=1_000_000_000)
    assert model_h100.step_seconds(multiplying, True) == pytest.approx(4.096e12 / 6e14)
    assert model_h100.step_seconds(multiplying, False) == of_bytes


def test_a_part_of_a_search_grows_with_its_own_count_alone() -> None:
    parts = model_h100.search_parts(SEARCH)
    twice = replace(STEP, moved=2 * STEP.moved)
    for change, name in (
        ({"step": twice}, "products of steps"),
        ({"answer": twice}, "product of the answer"),
        ({"stored": 4 * NUMBERS}, "survey"),
        ({"launches": 44.0}, "launches"),
        ({"waits": 10.0}, "waits"),
        ({"checks": [2e-3, 4e-3]}, "checks on the host"),
    ):
        changed = model_h100.search_parts(replace(SEARCH, **change))
        assert changed.pop(name) == pytest.approx(2 * parts[name])
        assert changed.items() <= parts.items()
    assert parts["launches"] == pytest.approx(20 * 22 * 5e-6)
    assert parts["checks on the host"] == pytest.approx(3e-3)


def test_an_upload_is_as_slow_as_link_or_fillers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_h100.upload_seconds(40_000_000_000) == pytest.approx(1)
    monkeypatch.setattr(model_h100, "FILLERS", 8)
    assert model_h100.upload_seconds(50_000_000_000) == pytest.approx(1)


def test_checks_are_those_of_the_cpu_and_fewer_where_steps_cost_less() -> None:
    """The CPU's 16 checks were counted on the day of the errors."""
    errors, orders = model_h100.ERRORS, model_h100.ORDERS
    assert model_h100.due_checks(errors, orders, 4.6) == (20, orders)
    steps, checks = model_h100.due_checks(errors, orders, model_h100.device_root())
    assert 20 <= steps <= 22
    assert len(checks) < 10


def test_a_table_has_a_row_for_each_target() -> None:
    searches = dict.fromkeys(model_h100.CASES, SEARCH)
    table = "\n".join(model_h100.format_targets(searches))
    milliseconds = 1e3 * sum(model_h100.search_parts(SEARCH).values())
    for name, target in model_h100.TARGETS.items():
        assert f"| {name}, on the device | {milliseconds:.1f} ms | {target:.0f} ms | yes |" in table
    assert "| from NumPy, 2 bytes a number | + 12.9 ms | + 15 ms | yes |" in table
    assert "| scan of 13.7 GB in bf16" in table
    late = replace(SEARCH, steps=100)
    table = "\n".join(model_h100.format_targets(searches | {"bf16": late}))
    assert "| 30 ms | **no** |" in table


def test_a_scan_is_as_slow_as_the_disk_unless_it_computes_longer() -> None:
    assert 0.9 < model_h100.scan_share(SEARCH) < 1
    assert model_h100.scan_share(replace(SEARCH, steps=2000)) < 0.5


def test_a_table_of_parts_has_a_column_for_each_case() -> None:
    table = model_h100.format_parts({"bf16": SEARCH, "fp16": SEARCH})
    assert table[0] == "| ms | bf16 | fp16 | from |"
    assert list(model_h100.SOURCES) == list(model_h100.search_parts(SEARCH))
    assert len(table) == 2 + len(model_h100.SOURCES)
