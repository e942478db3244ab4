# SPDX-License-Identifier: BSD-3-Clause
"""Results of each kind, right and wrong, for pages of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tests.support.html_pages import EVIL
from tests.support.lineage_models import (
    EMBED,
    Weights,
    name,
    permuted,
    random_model,
    tuned,
    with_embeddings,
)

from sigmascope.provenance import apply, check, group_by_lineage, lineage, verify

BASE, OTHER = random_model(1), random_model(2)
DONOR = tuned(BASE, 1, 0.01)
UP, DOWN = name(1, "up"), name(0, "down")


def half_way(weight: float = 0.5) -> Weights:
    """Base plus a weighted change, each number rounded once to float32."""
    return {
        key: (x.astype(np.float64) + weight * (DONOR[key].astype(np.float64) - x)).astype(x.dtype)
        for key, x in BASE.items()
    }


def broken(model: Weights) -> Weights:
    """A model with two numbers of a matrix that no weights explain, and without its embedding."""
    changed = model[UP].copy()
    changed[17, 23], changed[4, 5] = 7, -7
    return {key: x for key, x in model.items() if key != EMBED} | {UP: changed}


def in_layers(*weights: float) -> Weights:
    """A merge with another weight in each layer."""
    parts = [half_way(weight) for weight in weights]
    return {
        key: next((p[key] for i, p in enumerate(parts) if f"layers.{i}." in key), parts[0][key])
        for key in BASE
    }


def with_evil_name(model: Weights) -> Weights:
    return model | {EVIL: np.ones((3, 4), np.float32)}


def written() -> Any:
    """A merge of two files, in a folder that is gone when its result is used."""
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{each}.safetensors" for each in ("base", "donor")]
        for path, model in zip(paths, (BASE, DONOR), strict=True):
            save_file({key: np.ascontiguousarray(x) for key, x in model.items()}, path)
        return apply(paths[0], Path(folder) / "merged", paths[1], weights=[0.5])


RESULTS: dict[str, Callable[[], Any]] = {
    "confirmed": lambda: verify(BASE, half_way(), DONOR, expect="weights=.5"),
    "other weights": lambda: verify(BASE, in_layers(0.5, 0.25), DONOR, expect="weights=.5"),
    "witness": lambda: verify(BASE, broken(half_way()), DONOR, expect="linear"),
    "evil": lambda: verify(
        with_evil_name(BASE), with_evil_name(half_way()) | {EVIL: np.zeros((3, 4), np.float32)}
    ),
    "related": lambda: lineage(BASE, DONOR),
    "reordered": lambda: lineage(BASE, permuted(BASE)),
    "strangers": lambda: lineage(BASE, OTHER),
    "abstained": lambda: lineage(BASE, OTHER, tests=("H",)),
    "group": lambda: group_by_lineage([BASE, DONOR, OTHER, with_embeddings(OTHER, BASE)]),
    "check": lambda: check(
        BASE, half_way(), ["lineage", "relative<=.5", "linear", "identical"], donors=DONOR
    ),
    "application": written,
}


@cache
def result_of(kind: str) -> Any:
    """Return a result of a kind; each is made once."""
    return RESULTS[kind]()
