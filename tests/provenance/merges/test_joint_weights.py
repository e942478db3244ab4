# SPDX-License-Identifier: BSD-3-Clause
"""Weights of a model with several donors: from the rows of all of its tensors together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from tests.support.mergers import generator, tasks32
from torch import Tensor

from sigmascope.provenance import verify
from sigmascope.provenance.merges.combining import box_of, intersection
from sigmascope.provenance.merges.joint_rows import MOST, joint_box, rows_record, satisfied
from sigmascope.provenance.merges.number_rows import Ellipsoid, NumberRows
from sigmascope.provenance.merges.weights import WeightSet

Tensors = dict[str, Tensor]


def kept_rows(p: int, seed: int, direction: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """Return the record of a set of weights that is thin in one direction, and its box."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((p, 400)) + 40 * direction[:, None] * rng.standard_normal(400)
    weights = np.linspace(0.2, 0.5, p)
    t = weights @ a + rng.uniform(-1, 1, 400)
    rows = NumberRows(a, t, np.ones(400), np.arange(400), np.zeros(0, dtype=np.intp))
    ellipsoid = Ellipsoid.of(rows)
    assert ellipsoid is not None
    fit = WeightSet(ellipsoid)
    fit.add(rows)
    box, record = fit.box(), rows_record(fit)
    assert box is not None
    assert record is not None
    return json.loads(json.dumps(record)), box


@pytest.mark.parametrize("p", [2, 3])
def test_the_joint_box_is_that_of_a_program_over_all_rows(p: int) -> None:
    """Sets that are thin in different directions meet in less than their boxes do."""
    directions = np.eye(p)[0] + 0.9 * np.eye(p)[1], np.eye(p)[0] - 0.9 * np.eye(p)[1]
    records, boxes = zip(*(kept_rows(p, i, d) for i, d in enumerate(directions)), strict=True)
    joint, shared = joint_box(records), intersection(boxes)
    assert joint is not None
    assert shared is not None
    a = np.concatenate([np.array(record["a"]) for record in records])
    t, b = (np.concatenate([np.array(r[name]) for r in records]) for name in "tb")
    matrix, right = np.vstack([a, -a]), np.concatenate([t + b, b - t])
    for i in range(p):
        for end, sign in ((0, 1.0), (1, -1.0)):
            program = linprog(sign * np.eye(p)[i], matrix, right, bounds=[(None, None)] * p)
            assert joint[i, end] == pytest.approx(sign * program.fun, abs=1e-7)
    weights = np.linspace(0.2, 0.5, p)
    assert ((joint[:, 0] <= weights) & (weights <= joint[:, 1])).all()
    assert all(
        satisfied(record, weights) and not satisfied(record, 2 * weights) for record in records
    )
    widths, before = joint[:2, 1] - joint[:2, 0], shared[:2, 1] - shared[:2, 0]
    assert (widths < 0.5 * before).all()


def test_a_record_has_few_rows() -> None:
    record, _ = kept_rows(3, 5, np.ones(3))
    assert len(record["t"]) <= MOST
    assert len(json.dumps(record)) < 120 * MOST


def test_sets_without_a_common_point_leave_no_weights() -> None:
    record, _ = kept_rows(2, 0, np.array([1.0, 0.9]))
    other, _ = kept_rows(2, 1, np.array([1.0, -0.9]))
    shift = np.array(other["a"]) @ np.array([0.0, 0.3])
    assert joint_box([record, other | {"t": (np.array(other["t"]) + shift).tolist()}]) is None


def parallel_models(seed: int, slopes: tuple[float, float] = (1.0, -1.0)) -> list[Tensors]:
    """Return a base and two models, whose changes are almost parallel in each tensor."""
    g = generator(seed)
    models: list[Tensors] = [{}, {}, {}]
    for layer, slope in enumerate(slopes):
        name = f"model.layers.{layer}.self_attn.q_proj.weight"
        base = 0.02 * torch.randn(48, 64, generator=g)
        change = 0.0003 * torch.randn(48, 64, generator=g)
        own = 0.00002 * torch.randn(48, 64, generator=g)
        models[0][name] = base
        models[1][name], models[2][name] = base + change, base + slope * change + own
    return models


def test_the_weights_of_a_model_are_narrower_than_those_of_its_tensors(tmp_path: Path) -> None:
    base, *donors = parallel_models(1)
    weights = [0.3, 0.4]
    merged = {
        name: tasks32(base[name], [donor[name] for donor in donors], weights).bfloat16()
        for name in base
    }
    journal = tmp_path / "run.jsonl"
    result = verify(base, merged, donors, expect="weights=.3,.4", resume=journal)
    assert result.verdict == "confirmed"
    assert result.weights is not None
    (order,) = result.orders
    shared = intersection([box_of(row, order, 2) for row in result.rows])
    assert shared is not None
    for weight, own, (low, high) in zip(result.weights, weights, shared, strict=True):
        assert low <= weight.low <= own <= weight.high <= high
        assert weight.high - weight.low < 0.6 * (high - low)
    again = verify(base, merged, donors, expect="weights=.3,.4", resume=journal)
    assert again.weights == result.weights
    assert journal.stat().st_size < 60_000
    assert "rows" not in result.to_dict()["rows"][0]["orders"][0]


def test_tensors_whose_boxes_meet_but_whose_sets_do_not(tmp_path: Path) -> None:
    """Both tensors know the sum of the weights well: 0.7 and 0.7004, and each weight less well."""
    base, *donors = parallel_models(2, (1.0, 1.0))
    weights = {"0": [0.3, 0.4], "1": [0.3002, 0.4002]}
    merged = {
        name: tasks32(
            base[name], [donor[name] for donor in donors], weights[name.split(".")[2]]
        ).bfloat16()
        for name in base
    }
    result = verify(base, merged, donors)
    order = "added in float32, rounded once"
    assert intersection([box_of(row, order, 2) for row in result.rows]) is not None
    assert result.weights is None
    assert result.verdict == "refuted"
