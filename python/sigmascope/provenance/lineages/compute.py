# SPDX-License-Identifier: BSD-3-Clause
"""The function lineage: do checkpoints share an origin, with a certified p-value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from sigmascope.extension import public

from .blocks import SEED
from .levels import group_by_links, holm
from .model_tests import TESTS, PairOutcome, assess_pair, log10_level
from .models import Model
from .opening import UNITS, Source, open_models
from .result import Lineage, Lineages
from .verdicts import judge


@public
def lineage(
    a: Source,
    b: Source,
    *,
    layers: Iterable[int] | None = None,
    units: int | None = UNITS,
    alpha: float = 1e-6,
    tests: Sequence[str] = TESTS,
    seed: int = SEED,
) -> Lineage:
    """Test whether two checkpoints were trained independently of each other.

    Examples
    --------
    >>> lineage("base/", "model/").text                                 # doctest: +SKIP
    'Layers 0-31 share an origin (p <= 1e-147 (the least this group can give), exact under ...'

    The null hypothesis is that the two files are independent random objects, and that in at least
    one of the runs the hidden units (or other things) were exchangeable: initial weights that are
    independent and alike, and a training rule that does not know their numbers. The same data, in
    the same order, with another seed, is independent.

    Parameters
    ----------
    a, b : path, URL, Checkpoint, Fingerprint, or mapping of arrays
        The checkpoints.
    layers : iterable of int, optional
        Numbers of the layers that are compared. Default: all, also layers in other places.
    units : int, optional
        Most hidden units that are read of a layer, by ranges of rows. None reads all of them,
        and the columns of down. A fingerprint brings its own `units` and `seed`.
    alpha : float
        Level of the verdict over all tests, 0 < alpha < 1/2.
    tests : sequence of str
        Some of "U", "N", "UR", "R", "RR" and "H", which docs/lineage.md explains.
    seed : int
        Seed of the samples and of the partition into blocks. Choose it before you see a result.

    Returns
    -------
    Lineage
        The verdict with its evidence.

    Raises
    ------
    ValueError
        If a name of a test is not known, alpha is out of range, or a file is an adapter.
    CheckpointError
        If a file is malformed, or no tensor of it has a role that a test can use.

    See Also
    --------
    group_by_lineage : Several checkpoints.
    fingerprint : A small file that stands for a checkpoint.
    verify : Weights of a merge, number by number.

    Notes
    -----
    Things are permuted inside small blocks, so the p-value is exact: it has no constants and no
    asymptotics. The printed p-value is a certified bound, never below what the group can give.
    For files on other machines only ranges of gate and up, and of the embedding, are read; RR and
    H abstain, since they need all rows.

    References
    ----------
    Lehmann & Romano, Testing Statistical Hypotheses, section 15.2, 2005. Zhu, Ahmed, Kuditipudi &
    Liang, Independence tests for language models, 2025.
    """
    return _assess((a, b), layers, units, alpha, tests, seed).pairs[0, 1]


@public
def group_by_lineage(
    checkpoints: Sequence[Source],
    *,
    layers: Iterable[int] | None = None,
    units: int | None = UNITS,
    alpha: float = 1e-6,
    tests: Sequence[str] = TESTS,
    seed: int = SEED,
) -> Lineages:
    """Test every pair of several checkpoints, and group those that share an origin.

    Examples
    --------
    >>> group_by_lineage(["base/", "model/", "other/"]).groups          # doctest: +SKIP
    (('base/', 'model/'), ('other/',))

    Parameters
    ----------
    checkpoints : sequence of path, URL, Checkpoint, Fingerprint, or mapping of arrays
        Two or more checkpoints.
    layers, units, tests, seed
        As for :func:`lineage`.
    alpha : float
        Level of the verdicts over all tests of all pairs, 0 < alpha < 1/2.

    Returns
    -------
    Lineages
        A verdict for each pair, and groups by single linkage. Files have no direction: there are no
        parents.

    Raises
    ------
    ValueError, CheckpointError
        As for :func:`lineage`; also if there are fewer than two checkpoints.

    See Also
    --------
    lineage : One pair.
    """
    if len(checkpoints) < 2:
        raise ValueError(f"{len(checkpoints)} checkpoints: a lineage needs two or more")
    return _assess(checkpoints, layers, units, alpha, tests, seed)


def _assess(
    sources: Sequence[Source],
    layers: Iterable[int] | None,
    units: int | None,
    alpha: float,
    tests: Sequence[str],
    seed: int,
) -> Lineages:
    unknown = [name for name in tests if name not in TESTS]
    if unknown or not tests:
        raise ValueError(f"tests = {list(tests)}: choose some of {', '.join(TESTS)}")
    log10_alpha = log10_level(alpha)
    if units is not None and units < 16:
        raise ValueError(f"units = {units}: fewer than 16 units of a layer have no small p-value")
    numbers = None if layers is None else frozenset(layers)
    models = open_models(tuple(sources), units, seed)
    outcomes = {
        (i, j): assess_pair(
            models[i], models[j], layers=numbers, tests=tests, log10_alpha=log10_alpha
        )
        for i, j in combinations(range(len(models)), 2)
    }
    pairs = {
        (i, j): _conclude((models[i], models[j]), outcome, alpha)
        for (i, j), outcome in _adjust_family(outcomes).items()
    }
    names = [model.name for model in models]
    links = [places for places, pair in pairs.items() if pair.related]
    groups = tuple(tuple(group) for group in group_by_links(names, links))
    return Lineages(tuple(names), pairs, groups)


def _adjust_family(
    outcomes: Mapping[tuple[int, int], PairOutcome],
) -> dict[tuple[int, int], PairOutcome]:
    """Adjust all tests of all pairs for each other by Holm's method."""
    if len(outcomes) == 1:
        return dict(outcomes)
    adjusted = holm(
        {
            (places, name): test.log10_p
            for places, pair in outcomes.items()
            for name, test in pair.outcomes.items()
            if test.log10_p is not None
        }
    )
    return {
        places: replace(
            pair,
            outcomes={
                name: replace(test, log10_adjusted=adjusted.get((places, name)))
                for name, test in pair.outcomes.items()
            },
        )
        for places, pair in outcomes.items()
    }


def _conclude(models: tuple[Model, Model], pair: PairOutcome, alpha: float) -> Lineage:
    judgement = judge(pair, log10_level(alpha))
    first, second = models
    names = first.name, second.name
    failed = pair.failed_premises(names)
    return Lineage(
        names=names,
        verdict=judgement.verdict,
        text=" ".join([judgement.text, *(each.text for each in failed)]),
        log10_p=judgement.log10_p,
        tests=pair.outcomes,
        layers=pair.layers,
        links=pair.links,
        matches=pair.matches,
        order=pair.order,
        failed_premises=failed,
        alpha=alpha,
        seed=first.seed,
        units=first.units,
        nbytes=first.nbytes + second.nbytes,
    )
