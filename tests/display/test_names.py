# SPDX-License-Identifier: BSD-3-Clause
"""Names of tensors in a column: they stay distinct, and say what they lack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmascope._display.names import short_names, stay_distinct
from sigmascope._words.text import range_of

LAYERS = [
    f"model.language_model.layers.{i}.self_attn.{x}_proj.weight" for i in (1, 30) for x in "qv"
]


def test_names_that_fit_are_whole() -> None:
    assert short_names(LAYERS, 60).texts == tuple(LAYERS)
    assert short_names(LAYERS, 60).legend() == ""


def test_the_common_beginning_goes_first_and_is_told() -> None:
    names = short_names([*LAYERS, "model.language_model.embed.weight"], 36)
    assert names.texts[0] == "…layers.1.self_attn.q_proj.weight"
    assert names.texts[-1] == "…embed.weight"
    assert names.legend() == 'All names begin with "model.language_model.".'


def test_no_more_of_the_beginning_goes_than_has_to() -> None:
    assert short_names(LAYERS, 49).texts[0] == "…language_model.layers.1.self_attn.q_proj.weight"
    assert short_names(LAYERS, 35).texts[2] == "…layers.30.self_attn.q_proj.weight"


def test_a_single_name_can_be_told_from_its_legend() -> None:
    names = short_names(LAYERS[:1], 30)
    assert names.texts == ("…1.self_attn.q_proj.weight",)
    assert names.prefix + names.texts[0][1:] == LAYERS[0]


def test_the_common_end_goes_next() -> None:
    names = short_names(LAYERS, 24)
    assert names.texts[0] == "…1.self_attn.q_proj…"
    assert names.legend() == (
        'All names begin with "model.language_model.layers." and end with ".weight".'
    )


def test_the_middle_goes_last_and_the_layer_stays() -> None:
    result = short_names(LAYERS, 12).texts
    assert result == ("…1…n.q_proj…", "…1…n.v_proj…", "…3…n.q_proj…", "…3…n.v_proj…")


@given(
    st.lists(st.text("abc.", min_size=1, max_size=20), min_size=1, max_size=8, unique=True),
    st.integers(1, 25),
)
def test_no_name_is_wider_than_its_column(names: list[str], width: int) -> None:
    result = short_names(names, width)
    assert max(map(len, result.texts)) <= width
    assert stay_distinct(names, width) == (len(set(result.texts)) == len(names))


def test_control_characters_of_names_are_replaced() -> None:
    assert short_names(["a\x1b[31m", "b"], 20).texts[0] == "a\N{REPLACEMENT CHARACTER}[31m"


@pytest.mark.parametrize(
    ("low", "high", "value", "error", "texts"),
    [
        (38.2541, 39.1284, 38.7149, 0.0, ("38.25", "39.13")),
        (2.1974, 6.1033, 3.4, 0.6, ("2.1", "6.2")),
        (0.0, 4.0, 0.5, 0.5, ("0", "4")),
        (-0.0239, 0.0617, 0.01156, 0.0, ("-0.02390", "0.06170")),
        (4.11e-4, 0.00276, 6.809e-4, 0.0, ("4.110e-4", "0.002760")),
        (2e-6, 5e-6, 3e-6, 1e-8, ("2.000e-6", "5.000e-6")),
        (1.0, 2.5, 2.0, None, ("1", "2.50")),
    ],
)
def test_ranges_have_the_digits_of_their_median(
    low: float, high: float, value: float, error: float | None, texts: tuple[str, str]
) -> None:
    assert range_of(low, high, value, error) == texts
