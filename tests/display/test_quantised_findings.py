# SPDX-License-Identifier: BSD-3-Clause
"""Sentences on quantised pairs, on a page and in a terminal, from rows made for them."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console
from tests.support.html_pages import (
    Finding,
    comparison_of,
    comparison_page,
    findings_of,
    headline_of,
)
from tests.support.made_rows import comparison_rows

from sigmascope import report
from sigmascope.results import Comparison


def pairs(**columns: Any) -> list[dict[str, Any]]:
    """Rows of pairs of which one matrix is quantised, without hurt directions."""
    of_all: dict[str, Any] = {
        "delta_fro_norm": 1.0,
        "rounding_floor": 1.25,
        "above_rounding": False,
        "effective_bits": 4.0,
        "effective_bits_error": 1e-9,
        "error_edge": 0.5,
        "delta_spectral_norm": 0.45,
        "direction_errors": [0.1, 0.6, 0.3],
        "direction_noise": [0.1, 0.2, 0.25],
        "hurt_directions": [],
    }
    rows = [dict.fromkeys(Comparison.schema.columns) | row for row in comparison_rows(1)]
    analysed = [row for row in rows if row["status"] == "analysed"]
    return [row | of_all | columns for row in analysed]


def quantisation(rows: list[dict[str, Any]]) -> Finding:
    """The finding of a page on pairs of which one matrix is quantised."""
    return findings_of(comparison_page(rows))["Quantisation"]


def sentences(rows: list[dict[str, Any]]) -> str:
    return quantisation(rows).text


def hurt(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The pairs with hurt directions, and the words on these."""
    return [*quantisation(rows).items]


def head(rows: list[dict[str, Any]]) -> str:
    """The sentence at the head of a page."""
    return headline_of(comparison_page(rows))[0]


def test_errors_of_the_format_are_said_to_be_these() -> None:
    rows = pairs()[:1]
    assert sentences([*rows, rows[0] | {"effective_bits": None}]) == sentences(rows)
    assert sentences(rows) == (
        "In 1 pair one matrix is quantised. The error is 0.800 times that of rounding to the "
        "format. Effective bits per weight: 4, a signal-to-noise ratio of 24.1 dB. Its largest "
        "singular value is 0.900 times that of noise. It hurts no leading direction of W more "
        "than noise would."
    )
    assert hurt(rows) == []


def test_errors_beyond_the_format_are_counted() -> None:
    one, two, *_ = pairs()
    two |= {"above_rounding": True, "rounding_floor": 0.5, "delta_spectral_norm": 0.9}
    two |= {"hurt_directions": [2, 3]}
    text = sentences([one, two])
    assert "1.40 (median; 0.800 to 2) times that of rounding to the format; " in text
    assert "in 1 pair it exceeds rounding." in text
    assert "1.35 (median; 0.900 to 1.80) times that of noise, and exceeds it in 1 pair." in text
    assert "It hurts 2 leading directions of W, in 1 pair, more than noise would." in text
    what = "directions 2, 3; at worst 60 % of its output is wrong; noise would make 20 % wrong"
    assert hurt([one, two]) == [(two["name"], what)]


def test_each_format_has_its_bits() -> None:
    one, two, three, *_ = pairs(before_dtype="BF16", after_dtype="Q4_K")
    three |= {"effective_bits": 8.0, "before_dtype": "Q8_0", "after_dtype": "F16"}
    assert (
        "Effective bits per weight: 4 (median; 4 to 4), 24.1 dB, for Q4_K in 2 pairs; 8, "
        "48.2 dB, for Q8_0 in 1 pair."
    ) in sentences([one, two, three])


def test_the_head_of_a_page_says_what_is_quantised() -> None:
    one, two, *_ = pairs()
    text = "1 of 1 pair of matrices is quantised, with 4 effective bits per weight; the error "
    assert head([one]) == f"{text}is that of rounding to the format."
    plain = {"effective_bits": None, "relative_change": 0.0, "above_rounding": False}
    assert head([one, two, one | plain]).startswith("2 of 3 pairs of matrices are quantised, ")
    hurts = head([one | {"hurt_directions": [2]}, two])
    assert hurts.endswith("to the format, and hurts leading directions of 1 matrix.")
    assert "quantised" not in head([one | {"above_rounding": True}, two])


def test_parts_of_quantised_weights_are_one_line_each() -> None:
    row = comparison_rows(1)[0]
    parts = [
        row | {"name": f"{n}.{what}", "status": "not analysed", "kind": what, "reason": why}
        for n in range(20)
        for what, why in (("scale", f"scale of {n}.weight"), ("part", f"part of {n}.weight"))
    ]
    page = comparison_page(parts)
    assert page.count("<tr><td>") == 2
    assert "scales of quantised weights</td><td class='number'>20</td>" in page
    assert "other parts of quantised weights</td><td class='number'>20</td>" in page
    assert "{0 to 19}.scale" in page


def test_a_direction_without_noise_comes_first() -> None:
    one, two, *_ = pairs(hurt_directions=[2])
    two |= {"direction_noise": [0.1, 0.0, 0.25]}
    assert [name for name, _ in hurt([one, two])] == [two["name"], one["name"]]


def test_formats_without_a_floor_are_counted() -> None:
    one, two, *_ = pairs()
    two |= {"rounding_floor": None, "above_rounding": None}
    assert "The error of rounding is not known for the format of 1 pair." in sentences([one, two])


def test_the_verdict_does_not_call_a_quantised_model_the_same() -> None:
    rows = pairs()
    text = str(comparison_of(rows).verdict)
    count = len(rows)
    assert text.startswith(f"No tensor of {count} changed by more than rounding to its format; ")
    assert "distinguishable" not in text
    rows[0]["hurt_directions"] = [1]
    assert comparison_of(rows).verdict.changed == (rows[0]["name"],)


def test_a_page_and_a_terminal_have_the_sentences() -> None:
    rows = pairs()
    rows[0]["hurt_directions"] = [2]
    findings = findings_of(comparison_page(rows))
    assert findings["Quantisation"].kind == "notice"
    assert "Below the rounding floor" not in findings
    out = io.StringIO()
    report.show_comparison(Console(file=out, width=300), comparison_of(rows))
    assert sentences(rows) in " ".join(out.getvalue().split())
    assert "direction 2: 60 % of its output is wrong; noise would make 20 % wrong" in out.getvalue()
    assert "Not clearly above rounding" not in out.getvalue()
