# SPDX-License-Identifier: BSD-3-Clause
"""The test U in residual bases that are aligned on the embeddings of shared tokens.

The alignment sees embeddings alone. Permuting the hidden units of a model changes no embedding, so
it changes no alignment either, and the test stays exact: the p-value is that of U for other rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .blocks import Doubles, Floats, unit_rows
from .features import Layer
from .levels import holm
from .models import Model
from .outcomes import Outcome
from .tails import assess_blocks
from .unit_tests import Compared, compare_things, pooled_outcome
from .vocabularies import SharedRows

NAME = "U aligned"

TOKENS_ALIGNED = 1024
"""Tokens on whose embeddings two bases are aligned."""

DIRECTIONS = 512
"""Most directions of an aligned residual stream: the leading ones of the cross-covariance."""

ALIGNED_LAYERS = 2
"""Layers that are read again, and compared, where the units of a layer are a sample."""

NOT_NEEDED = "not needed: U rejects in the bases as they are"


class Bases(NamedTuple):
    """Maps of the residual streams of two models to common directions."""

    before: Floats
    after: Floats


class AlignedTest(NamedTuple):
    """The test U aligned, the layers that it certifies alone, and its bases."""

    outcome: Outcome
    layers: tuple[Layer, ...]
    bases: Bases | None


def align_bases(before: Floats, after: Floats) -> Bases | None:
    """Return maps to common directions from the embeddings of the same tokens.

    Parameters
    ----------
    before, after : array (tokens, width)
        Embeddings. Widths may differ.

    Returns
    -------
    Bases or None
        Matrices V_A (width, k) and V_B (width, k) with orthonormal columns: the singular vectors
        of E_Bᵀ E_A for its largest singular values. V_B V_Aᵀ is the solution of the orthogonal
        Procrustes problem in these directions, so rows of rotated copies agree: x_A V_A = x_B V_B.
        None if an embedding is zero.

    References
    ----------
    Schönemann, A generalized solution of the orthogonal Procrustes problem, 1966.
    """
    bases, cores = [], []
    for rows in (before, after):
        rows = unit_rows(rows.astype(np.float64))
        rows -= rows.mean(axis=0)
        tokens, width = rows.shape
        # wide models: the same singular vectors from factors of the order of the tokens
        basis, core = (
            (np.eye(width), rows.T) if width <= tokens else np.linalg.qr(rows.T, mode="reduced")
        )
        bases.append(basis)
        cores.append(core)
    cross: Doubles = cores[1] @ cores[0].T
    if not np.isfinite(cross).all() or not cross.any():
        return None
    left, values, right = np.linalg.svd(cross, full_matrices=False)
    count = min(DIRECTIONS, int((values > 1e-6 * values[0]).sum()))
    one, other = bases[0] @ right[:count].T, bases[1] @ left[:, :count]
    return Bases(one.astype(np.float32), other.astype(np.float32))


def read_bases(before: Model, after: Model, shared: SharedRows | str) -> Bases | str:
    """Return the aligned bases of two models, or the reason why there are none."""
    if isinstance(shared, str):
        return shared
    embeddings = []
    for model, rows in zip((before, after), shared, strict=True):
        rows = model.vocabulary.sample(model.seed) if rows is None else rows
        read = model.embeddings(rows[:TOKENS_ALIGNED])
        if read is None:
            return "no embeddings: a fingerprint has none, and some files neither"
        embeddings.append(read)
    bases = align_bases(*embeddings)
    return "embeddings without a common direction" if bases is None else bases


def assess_aligned(
    before: Model,
    after: Model,
    layers: Sequence[Layer],
    shared: SharedRows | str,
    log10_alpha: float,
) -> AlignedTest:
    """Test units in place in aligned residual bases."""
    bases = read_bases(before, after, shared)
    if isinstance(bases, str):
        return AlignedTest(Outcome(NAME, reason=bases), (), None)
    compared: dict[Layer, Compared] = {}
    reason = "no layer in common"
    for layer in layers:
        one = before.units_along(layer, bases.before)
        other = after.units_along(layer, bases.after)
        things = (
            "matrices of other shapes"
            if one is None or other is None
            else compare_things(one, other, before.seed)
        )
        if isinstance(things, str):
            reason = f"layer {layer.text}: {things}"
        else:
            compared[layer] = things
    if not compared:
        return AlignedTest(Outcome(NAME, reason=reason), (), bases)
    outcome = pooled_outcome(NAME, list(compared.values()), log10_alpha)
    alone = {
        layer: assess_blocks(each.similarities, each.views).log10_p
        for layer, each in compared.items()
    }
    certified = tuple(layer for layer, p in holm(alone).items() if p <= log10_alpha)
    return AlignedTest(outcome, certified, bases)


def is_needed(outcomes: Mapping[str, Outcome], log10_alpha: float) -> bool:
    """Return whether U ran, or could not compare widths, and does not reject by itself."""
    units = outcomes.get("U")
    return units is not None and (units.log10_p is None or units.log10_p > log10_alpha)
