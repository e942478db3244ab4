# SPDX-License-Identifier: BSD-3-Clause
"""Verdicts on models that are related in a known way, or not at all, and the tests behind them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.lineage_models import (
    HIDDEN,
    Weights,
    merged,
    permuted,
    pruned,
    random_model,
    rotated,
    rounded,
    tuned,
    with_dead_units,
    with_embeddings,
    with_layers,
    with_shared_units,
    zeroed,
)

import sigmascope as ss
from sigmascope.provenance import group_by_lineage
from sigmascope.provenance.lineages import Lineage, Lineages, lineage

A, B = random_model(1), random_model(2)

RELATED: dict[str, tuple[Weights, str, tuple[str, ...]]] = {
    "the same file": (A, "related layers", ("U", "N", "UR", "R", "RR")),
    "fine-tune": (tuned(A, 1), "related layers", ("U", "N", "UR", "R", "RR")),
    "sibling": (tuned(tuned(A, 2), 3), "related layers", ("U", "N", "UR", "R", "RR")),
    "int8": (rounded(A, 8), "related layers", ("U", "N", "UR", "R", "RR")),
    "int4": (rounded(A, 4), "related layers", ("U", "N", "UR", "R", "RR")),
    "half zeroed": (zeroed(A), "related layers", ("U", "N", "UR", "R", "RR")),
    "merge": (merged(A, B), "related layers", ("U", "N", "UR", "R", "RR")),
    "a tenth merged": (merged(A, B, 0.1), "related layers", ("U", "N")),
    "a tenth of the units": (with_shared_units(B, A, 0.1), "related layers", ("U", "N")),
    "units permuted": (permuted(A), "related layers, reordered units", ("R", "RR")),
    "units pruned": (pruned(A), "related layers, reordered units", ("R", "RR")),
    "residual rotated": (rotated(A), "related layers", ("UR",)),
    "fine-tune rotated": (rotated(tuned(A, 4)), "related layers", ("UR",)),
    "layers swapped": (with_layers(A, [1, 0]), "related layers", ("L", "R")),
    "a layer dropped": (with_layers(A, [1]), "related layers", ("L", "R")),
    "embeddings alone": (with_embeddings(B, A), "shared basis only", ("R",)),
    "a stranger": (B, "not rejected", ()),
}
"""Models, the verdict on them beside A, and the tests that must reject at 1e-10."""


@pytest.mark.parametrize("case", list(RELATED))
def test_the_right_test_finds_each_relation(case: str) -> None:
    """Notices a test that is blind, a verdict that is too strong, and layers named from a basis."""
    other, verdict, tests = RELATED[case]
    result = lineage(A, other)
    assert result.verdict == verdict
    strong = {key for key, test in result.tests.items() if (test.log10_p or 0) <= -10}
    assert set(tests) <= strong
    assert case != "a stranger" or not strong
    assert (result.log10_p or 0) <= -6 or verdict == "not rejected"


def test_identical_files_reach_the_floor_of_each_group() -> None:
    """The floor is 1/8! for each block, or 1/h! for nearest neighbours of one layer."""
    result = lineage(A, A)
    for key in ("U", "UR", "R", "RR"):
        test = result.tests[key]
        assert test.log10_p == pytest.approx(test.log10_floor, abs=1e-6)
        assert "(the least this group can give)" in test.p_text
    assert result.tests["U"].log10_floor == pytest.approx(-2 * 16 * np.log10(40320))
    assert result.tests["U"].rho == pytest.approx(1, abs=0.05)
    assert result.text.startswith("Layers 0-1 share an origin (p <= 1e-428 (the least")
    assert "The test can't say which." in result.text


def test_the_test_does_not_depend_on_the_order_of_the_files() -> None:
    """It has no direction."""
    one, other = lineage(A, tuned(A, 1, 2.0)), lineage(tuned(A, 1, 2.0), A)
    for key in ("U", "UR", "R", "RR"):
        assert one.tests[key].log10_p == pytest.approx(other.tests[key].log10_p, rel=1e-6)


def test_equal_calls_have_equal_bits() -> None:
    one, other = (lineage(A, tuned(A, 5, 1.5)) for _ in range(2))
    assert one.to_dict() == other.to_dict()
    assert lineage(A, tuned(A, 5, 1.5), seed=1).to_dict() != one.to_dict()


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    records = []
    for threads in (1, 2):
        with ss.Resources(num_threads=threads):
            records.append(lineage(A, merged(A, B, 0.2)).to_dict())
    assert records[0] == records[1]


def test_layers_are_named() -> None:
    """One layer of a stranger is replaced: only this one may be named."""
    mixed = {key: A[key] if ".layers.1." in key else x for key, x in B.items()}
    result = lineage(A, mixed)
    assert result.text.startswith("Layer 1 shares an origin")
    assert [each.log10_adjusted < -6 for each in result.layers] == [False, True]


def test_layers_are_named_in_a_rotated_residual() -> None:
    assert lineage(A, rotated(A)).text.startswith("Layers 0-1 share an origin")
    turned = rotated(A)
    mixed = {key: turned[key] if ".layers.0." in key else x for key, x in B.items()}
    assert lineage(A, mixed).text.startswith("Layer 0 shares an origin")


def test_links_name_layers_in_other_places() -> None:
    deep = random_model(3, layers=4)
    result = lineage(deep, with_layers(deep, [0, 3, 2]))
    assert {(link.before.number, link.after.number) for link in result.links} == {
        *((0, 0), (3, 1), (2, 2))
    }
    assert "(2 with 1, 3 with 0)" in lineage(deep, with_layers(deep, [3, 2])).text


def test_padding_at_the_same_places_is_not_evidence() -> None:
    """Centred rows of zeros are equal rows: strangers would have z = 14."""
    places = range(40, 80)
    result = lineage(with_dead_units(A, places), with_dead_units(B, places))
    assert result.verdict == "not rejected"
    assert result.tests["U"].things == 2 * (HIDDEN - 40)
    related = lineage(with_dead_units(A, places), tuned(A, 1))
    assert related.verdict == "related layers"


def test_numbered_residual_coordinates_abstain() -> None:
    """Sinusoidal positions number the coordinates of both files: R and RR are not exact there."""
    angles = np.arange(200)[:, None] / 10000 ** (np.arange(32) / 32)
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
    key = "model.embed_positions.weight"
    with_waves = [{**weights, key: waves} for weights in (A, tuned(A, 1))]
    assert "positions" in ss.open_checkpoint(with_waves[0]).roles[key].role
    result = lineage(*with_waves)
    for test in ("R", "RR"):
        assert "order of the residual coordinates" in result.tests[test].reason
    assert result.verdict == "related layers"


def test_too_small_a_group_abstains() -> None:
    """The least p-value of two blocks is 1e-9.2: above a level of 1e-10 the test says nothing."""
    small, other = (random_model(seed, hidden=16, layers=1) for seed in (6, 7))
    result = lineage(small, other, alpha=1e-10, tests=("U",))
    assert result.verdict == "abstain"
    assert "the least p-value of 2 blocks" in result.tests["U"].reason
    assert lineage(small, small, alpha=1e-6, tests=("U",)).verdict == "related layers"


def test_other_widths_and_vocabularies_abstain_with_the_reason() -> None:
    wide = random_model(7, width=72)
    result = lineage(A, wide)
    assert "no matrix of equal role and width" in result.tests["U"].reason
    assert "other numbers of things: 64 and 72" in result.tests["R"].reason
    assert result.verdict == "not rejected"  # UR compares units across widths


def test_several_checkpoints_have_groups_and_no_parent() -> None:
    files = [A, tuned(A, 1), B, tuned(B, 2), random_model(8)]
    result = group_by_lineage(files, tests=("U", "R"))
    assert isinstance(result, Lineages)
    related = {places for places, pair in result.pairs.items() if pair.related}
    assert related == {(0, 1), (2, 3)}
    assert [len(group) for group in result.groups] == [2, 2, 1]
    assert "no parent" in result.text
    # 10 pairs of up to 3 tests: the least p-value is multiplied by their number
    pair, alone = result.pairs[0, 1], lineage(*files[:2], tests=("U", "R"))
    assert isinstance(alone, Lineage)
    assert pair.tests["U"].log10_p == alone.tests["U"].log10_p
    assert pair.tests["R"].log10_adjusted > alone.tests["R"].log10_adjusted


def test_wrong_arguments_are_explained() -> None:
    with pytest.raises(ValueError, match="choose some of U, N, UR, R, RR, H"):
        lineage(A, B, tests=("U", "X"))
    with pytest.raises(ValueError, match=r"alpha = 0.7 is not between 0 and 0.5"):
        lineage(A, B, alpha=0.7)
    with pytest.raises(ValueError, match="fewer than 16 units"):
        lineage(A, B, units=8)
    with pytest.raises(ss.errors.CheckpointError, match=r"no gate, up, down.*rules="):
        lineage({"x": np.eye(20)}, B)
