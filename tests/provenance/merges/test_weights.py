# SPDX-License-Identifier: BSD-3-Clause
"""Sets of weights: against all rows at once, whatever the blocks in which they come."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from sigmascope.provenance.merges.blocks import Formats
from sigmascope.provenance.merges.fitting import OrderFit, TensorFit
from sigmascope.provenance.merges.number_formats import FORMATS
from sigmascope.provenance.merges.number_rows import Ellipsoid, NumberRows
from sigmascope.provenance.merges.orders import Once
from sigmascope.provenance.merges.programs import Rows, contradiction, least_of
from sigmascope.provenance.merges.sums import Sums
from sigmascope.provenance.merges.weights import WeightSet


def rows_around(
    p: int, count: int, seed: int, *, parallel: float = 0.0, width: float = 1.0
) -> tuple[NumberRows, np.ndarray]:
    """Return rows |a c - t| <= 1 that the returned weights satisfy."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((p, count))
    a = a + parallel * rng.standard_normal(count)
    a *= 10.0 ** rng.uniform(-2, 2, count)
    weights = rng.uniform(-2, 2, p)
    t = weights @ a + width * rng.uniform(-1, 1, count)
    nothing = np.zeros(0, dtype=np.intp)
    return NumberRows(a, t, np.ones(count), np.arange(count), nothing), weights


def box_of_all(rows: NumberRows) -> np.ndarray:
    """Return the exact box, by programs over all rows."""
    box = np.empty((len(rows.a), 2))
    matrix = np.hstack([rows.a, -rows.a]).T
    right = np.concatenate([rows.t + rows.b, rows.b - rows.t])
    scale = np.abs(matrix).max(axis=1)
    for i in range(len(box)):
        for j, sign in enumerate((1.0, -1.0)):
            direction = np.zeros(len(box))
            direction[i] = sign
            result = linprog(
                direction, matrix / scale[:, None], right / scale, bounds=[(None, None)] * len(box)
            )
            assert result.status == 0
            box[i, j] = sign * result.fun
    return box


def fitted(rows: NumberRows, block: int, start: int = 500) -> WeightSet:
    first = Ellipsoid.of(rows.chosen(np.arange(min(start, len(rows.t)))))
    assert first is not None
    weights = WeightSet(first)
    for i in range(0, len(rows.t), block):
        weights.add(rows.chosen(np.arange(i, min(i + block, len(rows.t)))))
    return weights


@pytest.mark.parametrize("parallel", [0.0, 30.0])
@pytest.mark.parametrize("count", [60, 3000])
@pytest.mark.parametrize("p", [1, 2, 3, 5])
def test_the_box_is_that_of_all_rows(p: int, count: int, parallel: float) -> None:
    rows, weights = rows_around(p, count, seed=p, parallel=parallel)
    fit = fitted(rows, block=200)
    box, exact = fit.box(), box_of_all(rows)
    assert box is not None
    assert ((box[:, 0] <= weights) & (weights <= box[:, 1])).all()
    slack = 1e-6 * (exact[:, 1] - exact[:, 0])
    assert (box[:, 0] <= exact[:, 0] + 1e-12).all()
    assert (box[:, 1] >= exact[:, 1] - 1e-12).all()
    np.testing.assert_allclose(box, exact, atol=float(slack.max()) + 1e-10)
    assert fit.rows is not None
    assert len(fit.rows.t) <= (2 if p == 1 else max(400 * p, count // 3))


@pytest.mark.parametrize("p", [1, 3])
def test_blocks_and_their_order_do_not_matter(p: int) -> None:
    rows, _ = rows_around(p, 2000, seed=9)
    mixed = rows.chosen(np.random.default_rng(0).permutation(2000))
    boxes = [fitted(each, block).box() for each in (rows, mixed) for block in (50, 2000)]
    for box in boxes[1:]:
        np.testing.assert_allclose(box, boxes[0], rtol=1e-7)


@pytest.mark.parametrize("p", [1, 2, 4])
def test_one_wrong_row_is_refuted_and_named(p: int) -> None:
    rows, weights = rows_around(p, 2000, seed=p)
    a, t = rows.a.copy(), rows.t.copy()
    a[:, 1234] = 3.0
    t[1234] = 3.0 * weights.sum() + 6.0
    fit = fitted(NumberRows(a, t, rows.b, rows.places, rows.impossible), block=300)
    assert fit.box() is None
    assert fit.empty
    assert 1234 in fit.witness
    assert len(fit.witness) <= p + 1
    # The witness alone admits no weights: a program over its rows says the same.
    chosen = list(fit.witness)
    matrix = np.hstack([a[:, chosen], -a[:, chosen]]).T
    right = np.concatenate([t[chosen] + 1, 1 - t[chosen]])
    assert linprog(np.zeros(p), matrix, right, bounds=[(None, None)] * p).status == 2


def test_weights_of_a_single_point_are_not_refuted() -> None:
    """Midpoints of two numbers leave one point: closed cells meet there."""
    nothing = np.zeros(0, dtype=np.intp)
    a = np.array([[3.0, 7.0, 0.1]])
    t = np.array([3.0 * 0.5 + 1, 7.0 * 0.5 - 1, 0.05])
    rows = NumberRows(a, t, np.ones(3) + 1e-15, np.arange(3), nothing)
    box = fitted(rows, block=3).box()
    assert box is not None
    np.testing.assert_allclose(box, 0.5, atol=1e-12)


def test_parallel_donors_leave_both_weights_open() -> None:
    rows, _ = rows_around(1, 800, seed=4)
    both = NumberRows(np.vstack([rows.a, 2 * rows.a]), rows.t, rows.b, rows.places, rows.impossible)
    fit = fitted(both, block=100)
    assert fit.ellipsoid.axes.shape == (2, 1)
    np.testing.assert_array_equal(fit.box(), [[-np.inf, np.inf]] * 2)


def test_donors_that_part_later_are_told_apart() -> None:
    """The first rows know only one combination; later rows know both weights."""
    rows, weights = rows_around(2, 3000, seed=6)
    a = rows.a.copy()
    a[1, :1000] = 2 * a[0, :1000]
    rng = np.random.default_rng(7)
    t = weights @ a + rng.uniform(-1, 1, 3000)
    changed = NumberRows(a, t, rows.b, rows.places, rows.impossible)
    fit = fitted(changed, block=400, start=300)
    np.testing.assert_allclose(fit.box(), box_of_all(changed), atol=1e-9)


def test_an_impossible_number_refutes_at_once() -> None:
    rows, _ = rows_around(2, 100, seed=1)
    fit = fitted(rows, block=100)
    fit.add(NumberRows(rows.a[:, :0], rows.t[:0], rows.b[:0], rows.places[:0], np.array([17])))
    assert fit.empty
    assert fit.witness == (17,)


@pytest.mark.parametrize("seed", range(20))
def test_bounds_hold_without_trust_in_the_solver(seed: int) -> None:
    """A bound by multipliers is below the optimum, and close to it."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((40, 3))
    a /= np.abs(a).sum(axis=1)[:, None]
    rows = Rows(a, rng.uniform(0.05, 0.9, 40), np.arange(40))
    direction = rng.standard_normal(3)
    bound, z = least_of(direction, rows)
    exact = linprog(direction, a, rows.g, bounds=[(-1, 1)] * 3).fun
    assert z is not None
    assert exact - 1e-7 <= bound <= exact
    assert contradiction(rows) == ()


def test_rows_that_contradict_each_other_are_named() -> None:
    a = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    rows = Rows(a, np.array([-0.2, -0.1, 0.5]), np.array([7, 8, 9]))
    assert contradiction(rows) == (7, 8)


def test_an_interval_holds_the_weights_of_every_order_that_fits() -> None:
    """The narrowest order may fit by accident, with an interval that misses the truth."""
    boxes = [np.array([[0.9, 1.0], [2.0, 2.5]]), np.array([[0.99, 1.5], [2.2, 2.3]])]
    formats, weights = Formats(*[FORMATS["bf16"]] * 3), fitted(rows_around(2, 9, 0)[0], 9)
    fits = tuple(OrderFit(Once(), formats, np.ones(2), weights, box) for box in boxes)
    fit = TensorFit(fits, {}, Sums.start(np.zeros(2), 0), proved=True)
    np.testing.assert_array_equal(fit.box, [[0.9, 1.5], [2.0, 2.5]])
