# SPDX-License-Identifier: BSD-3-Clause
"""One file that cannot carry the premise is named; two of them make a test abstain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from tests.support.lineage_files import saved
from tests.support.lineage_models import (
    EMBED,
    HIDDEN,
    Weights,
    choose_units,
    name,
    random_model,
    tuned,
)
from typer.testing import CliRunner

from sigmascope.provenance import group_by_lineage, lineage
from sigmascope.provenance.lineages import commands

A, B = random_model(1), random_model(2)


def sorted_by_norm(weights: Weights) -> Weights:
    """Units in the order of their norms, which differ."""
    scale = np.exp(np.random.default_rng(9).normal(size=HIDDEN)).astype(np.float32)
    weights = {**weights}
    for layer in (0, 1):
        for kind in ("gate", "up"):
            weights[name(layer, kind)] = weights[name(layer, kind)] * scale[:, None]
    norms = np.linalg.norm(weights[name(0, "gate")], axis=1)
    order = np.argsort(-norms)
    return choose_units(weights, lambda count: order.tolist())


def with_growing_coordinates(weights: Weights) -> Weights:
    """An embedding whose coordinates grow with their number."""
    scale = np.linspace(0.5, 2, weights[EMBED].shape[1]).astype(np.float32)
    return {**weights, EMBED: weights[EMBED] * scale}


def test_both_files_sorted_abstain_and_one_does_not() -> None:
    """Validity needs one file whose units are exchangeable."""
    both = lineage(sorted_by_norm(A), sorted_by_norm(B), tests=("U", "N", "UR"))
    assert both.verdict == "abstain"
    assert "the order of the units is information" in both.tests["U"].reason
    assert max(both.order) < 1e-3
    assert both.failed_premises == ()  # the reason of each test says it
    one = lineage(sorted_by_norm(A), B)
    assert one.tests["U"].log10_p is not None
    assert one.verdict == "not rejected"
    assert min(one.order) < 1e-3 < max(one.order)


@pytest.mark.parametrize("place", [0, 1])
def test_the_file_that_failed_is_named(place: int, tmp_path: Path) -> None:
    """In the sentence, in JSON, and on the terminal; notices the wrong one of the two."""
    pair = [saved(tmp_path / "plain", tuned(A, 1)), saved(tmp_path / "nested", sorted_by_norm(A))]
    pair = pair if place else pair[::-1]
    result = lineage(*pair)
    assert result.verdict != "abstain"
    which, other = ("first", "second") if place == 0 else ("second", "first")
    sentence = f"In the {which} file, {pair[place]}, the order of the units is information"
    assert sentence in result.text
    assert result.text.endswith(f"which rests on the {other} file alone.")
    (failed,) = result.to_dict()["failed_premises"]
    assert (failed["place"], failed["name"], failed["things"]) == (
        place,
        *(str(pair[place]), "units"),
    )
    assert failed["p"] == result.order[place] <= 1e-3
    application = typer.Typer()
    application.command()(commands.lineage)
    for more in ([], [str(saved(tmp_path / "third", B))]):
        printed = CliRunner().invoke(application, [*map(str, pair), *more]).stdout
        assert "".join(sentence.split()) in "".join(printed.split())


def test_numbered_coordinates_of_one_file_are_named() -> None:
    result = lineage(A, with_growing_coordinates(tuned(A, 1)))
    assert result.tests["R"].log10_p is not None
    (failed,) = result.failed_premises
    assert (failed.place, failed.things) == (1, "residual coordinates")
    both = lineage(*(with_growing_coordinates(each) for each in (A, B)))
    assert "order of the residual coordinates is information" in both.tests["R"].reason
    assert both.failed_premises == ()
    skipped = lineage(A, with_growing_coordinates(tuned(A, 1)), tests=("U",))
    assert skipped.failed_premises == ()


def test_exchangeable_files_have_no_such_sentence() -> None:
    result = group_by_lineage([A, tuned(A, 1), B])
    for pair in result.pairs.values():
        assert pair.failed_premises == ()
        assert "information" not in pair.text
