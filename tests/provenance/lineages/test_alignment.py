# SPDX-License-Identifier: BSD-3-Clause
"""Units in residual bases that are aligned on embeddings: rotated, cut, and permuted models."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.lineage_models import (
    EMBED,
    HEAD,
    Weights,
    permuted,
    random_model,
    rotated,
    tuned,
    with_embeddings,
)

from sigmascope.provenance import fingerprint, lineage
from sigmascope.provenance.lineages.alignment import NAME, NOT_NEEDED, align_bases

A, B = random_model(1), random_model(2)


def cut(weights: Weights, width: int) -> Weights:
    """The model with the first coordinates of its residual stream alone."""
    result = {}
    for key, x in weights.items():
        writes = key.endswith(("o_proj.weight", "down_proj.weight"))
        result[key] = x[:width] if writes or x.ndim == 1 else x[:, :width]
    return result


@pytest.mark.parametrize("shapes", [(90, 12, 12), (90, 12, 9), (30, 50, 50), (30, 50, 40)])
def test_rotated_rows_agree_in_aligned_bases(shapes: tuple[int, int, int]) -> None:
    """Fewer tokens than coordinates, too; another width has no image of some directions."""
    tokens, width, other = shapes
    rng = np.random.default_rng(width)
    rotation = np.linalg.qr(rng.normal(size=(width, width)))[0][:, :other]
    embeddings, rows = rng.normal(size=(tokens, width)), rng.normal(size=(7, width))
    bases = align_bases(embeddings, embeddings @ rotation)
    assert bases is not None
    for basis in bases:
        np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-5)
    one, two = rows @ bases.before, rows @ rotation @ bases.after
    if other == width:
        np.testing.assert_allclose(one, two, atol=1e-4)
    else:
        cosines = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
        assert cosines.min() > 0.7
    assert align_bases(embeddings, 0 * embeddings) is None


def test_units_are_seen_in_a_rotated_residual() -> None:
    """At the floor: the bases agree exactly. Layers are named by the aligned test alone, too."""
    for other in (rotated(A), rotated(tuned(A, 1, 0.05), 5)):
        result = lineage(A, other)
        aligned = result.tests[NAME]
        assert aligned.log10_p == pytest.approx(aligned.log10_floor, abs=1)
        assert (result.tests["U"].log10_p or 0) > -3
        alone = lineage(A, other, tests=("U",))
        assert alone.verdict == "related layers"
        assert alone.text.startswith("Layers 0-1 share an origin")


def test_units_are_seen_through_another_width() -> None:
    """48 of 64 coordinates, rotated: U cannot compare the widths at all."""
    result = lineage(A, cut(rotated(A), 48))
    assert result.tests["U"].reason
    assert (result.tests[NAME].log10_p or 0) < -50
    assert result.verdict == "related layers"


def test_strangers_are_not_rejected_in_aligned_bases() -> None:
    """Shared embeddings align the bases of strangers exactly: their units are still strangers."""
    for other in (B, rotated(B), rotated(with_embeddings(B, A)), cut(B, 40)):
        result = lineage(A, other)
        assert (result.tests[NAME].log10_p or 0) > -3
        assert result.verdict in ("not rejected", "shared basis only")


def test_units_permuted_and_rotated_are_calibrated_only() -> None:
    """No exact test without heads sees this; gate and up agree unit by unit in aligned bases."""
    result = lineage(A, rotated(permuted(tuned(A, 1, 0.1))))
    assert result.verdict == "calibrated only"
    assert result.log10_p is None
    assert all(match.evident for match in result.matches)
    assert len(result.matches) == 2
    stranger = lineage(A, rotated(permuted(with_embeddings(B, A))))
    assert stranger.verdict == "not rejected"
    assert all(match.agreements < 10 for match in stranger.matches)


def test_permuted_units_keep_their_own_verdict() -> None:
    """Where RR sees the basis as it is, no alignment is used for the match."""
    result = lineage(A, permuted(A))
    assert result.verdict == "related layers, reordered units"
    assert (result.tests[NAME].log10_p or 0) > -3


def test_a_test_that_is_not_needed_counts_in_the_family() -> None:
    """Otherwise the family would be chosen after looking at p-values."""
    result = lineage(A, tuned(A, 1), tests=("U",))
    assert result.tests[NAME].reason == NOT_NEEDED
    u = result.tests["U"]
    assert u.log10_adjusted is not None
    assert u.log10_p is not None
    assert u.log10_adjusted == pytest.approx(u.log10_p + np.log10(3))  # U, L and U aligned


def test_alignment_needs_embeddings() -> None:
    bare = {key: x for key, x in rotated(A).items() if key not in (EMBED, HEAD)}
    assert lineage(A, bare).tests[NAME].reason == "no embedding"
    assert "a fingerprint has none" in lineage(fingerprint(A), B).tests[NAME].reason
