# SPDX-License-Identifier: BSD-3-Clause
"""The digest of a comparison: places, bands of depth, what is left out and what is refused."""

from __future__ import annotations

import math

import pytest
from tests.support.updates import ROLES, WIDTH, Row, rows_of_update

import sigmascope as ss


def test_every_place_is_the_mean_of_its_matrices() -> None:
    rows = rows_of_update(0.5, noise=0.0)
    update = ss.diagnosis.diagnose(rows).update
    assert update.matrices == len(rows)
    assert update.layers == {"text": 4}
    groups = ("attention in", "attention out", "mlp in", "mlp out")
    assert set(update.places) == {("text", g, band) for g in groups for band in range(4)}
    for place, value in update.places.items():
        assert value == pytest.approx(math.log(0.5) + 0.02 * place.band)
    assert update.shapes["text up"] == (4 * WIDTH, WIDTH)
    assert len(update.profile) == 8, "quantiles over the median"


@pytest.mark.parametrize(("layers", "bands"), [(1, 2), (3, 2), (4, 4), (7, 4), (80, 4)])
def test_bands_divide_the_depth(layers: int, bands: int) -> None:
    update = ss.diagnosis.diagnose(rows_of_update(0.5, layers=layers)).update
    result = {place.band for place in update.places}
    assert result == set(range(min(bands, layers))) if layers >= bands else {0}
    by_band = [sum(s.place.band == band for s in update.spreads) for band in sorted(result)]
    assert max(by_band) - min(by_band) <= len(ROLES)


def test_experts_are_averaged_before_places() -> None:
    rows = rows_of_update(0.5, noise=0.0, layers=1)
    many = [row | {"projected_effective_rank": WIDTH * 0.25} for row in rows if row["role"] == "up"]
    update = ss.diagnosis.diagnose([*rows, *many * 9]).update
    (value,) = (s.value for s in update.spreads if s.role == "up")
    assert value == pytest.approx((math.log(0.5) + 9 * math.log(0.25)) / 10)
    down = next(v for place, v in update.places.items() if place.group == "mlp out")
    assert down == pytest.approx(math.log(0.5))


def test_towers_do_not_collide() -> None:
    rows = rows_of_update(0.5) + [row | {"tower": "vision"} for row in rows_of_update(0.3)]
    places = ss.diagnosis.diagnose(rows).update.places
    by_name = {tuple(place): value for place, value in places.items()}
    assert by_name["text", "mlp in", 0] > by_name["vision", "mlp in", 0] + 0.4


def test_matrices_that_did_not_change_are_left_out_and_counted() -> None:
    rows = rows_of_update(0.5)
    rows[0] |= {"relative_change": 0.0, "projected_effective_rank": None}
    rows[1] |= {"status": "failed"}
    rows[2] |= {"role": "norm"}
    rows[3] |= {"layer": None}
    update = ss.diagnosis.diagnose(rows).update
    assert (update.matrices, update.unchanged) == (len(rows) - 4, 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"name": "w", "status": "analysed"}], "not rows of a comparison"),
        ([row | {"relative_change": 0.0} for row in rows_of_update(0.5)], "layer changed"),
        ([row | {"role": "norm"} for row in rows_of_update(0.5)], "layer was analysed"),
        (
            [row | {"projected_effective_rank": None} for row in rows_of_update(0.5)],
            "effort 'exact'",
        ),
    ],
)
def test_rows_without_an_update_are_refused(rows: list[Row], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ss.diagnosis.diagnose(rows)
