# SPDX-License-Identifier: BSD-3-Clause
"""One pair of models in many formats of files: the same verdict, and the same numbers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.lineage_files import FORMATS, save_gguf, save_shards, save_torch, saved
from tests.support.lineage_models import merged, permuted, random_model, rotated, tuned
from tests.support.remote import served
from tests.support.tiers import short

from sigmascope.provenance import Lineage, lineage

pytest.importorskip("torch")
pytest.importorskip("gguf")

A, B = random_model(1), random_model(2)
WEAK = merged(A, B, 0.06)
"""A tie far from the floor of the group: every format changes its p-value a little."""

OTHERS = {
    "fine-tune": (tuned(A, 1), "related layers"),
    "units permuted": (permuted(A), "related layers, reordered units"),
    "residual rotated": (rotated(A), "related layers"),
    "stranger": (B, "not rejected"),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("original") / "a", A)


@pytest.fixture(scope="module")
def exact(original: Path) -> Lineage:
    return lineage(original, WEAK, tests=("U",))


def check_scaled(result: Lineage, exact: Lineage) -> None:
    """The logarithm of p changes as the square of rho does, within 1 %."""
    u, expected = result.tests["U"], exact.tests["U"]
    assert result.verdict == exact.verdict == "related layers"
    assert u.log10_p is not None
    assert expected.log10_p is not None
    assert -60 < expected.log10_p < -20  # neither near the floor of -147 nor near the level
    assert u.rho / expected.rho == pytest.approx(1, abs=0.03)
    square = (u.rho / expected.rho) ** 2
    assert u.log10_p / expected.log10_p == pytest.approx(square, rel=0.01)


@pytest.mark.parametrize("kind", list(FORMATS))
def test_formats_scale_a_weak_tie_by_their_rounding_alone(
    kind: str, original: Path, exact: Lineage, tmp_path: Path
) -> None:
    """Notices scales that are not applied, rows in another order, a transposed matrix."""
    path = FORMATS[kind](tmp_path / "b", WEAK)
    check_scaled(lineage(original, path, tests=("U",)), exact)
    check_scaled(lineage(path, A, tests=("U",)), exact)


@pytest.mark.parametrize("kind", short(["GGUF Q4_0"], FORMATS.keys()))
def test_formats_have_the_same_verdicts(kind: str, original: Path, tmp_path: Path) -> None:
    """Also where RR, H, the match of units, or relations decide."""
    for place, (other, verdict) in enumerate(OTHERS.values()):
        result = lineage(original, FORMATS[kind](tmp_path / str(place), other))
        assert result.verdict == verdict
        assert {"U", "UR", "R", "RR", "H"} <= {
            key for key, test in result.tests.items() if test.log10_p is not None
        }


def test_heads_of_gguf_files_are_those_of_the_original(original: Path, tmp_path: Path) -> None:
    """llama.cpp reorders the rows of q and k inside heads: no circuit changes."""
    path = save_gguf(tmp_path / "b", A, "F32")
    heads = lineage(original, path, tests=("H",)).tests["H"]
    assert heads.log10_p == pytest.approx(heads.log10_floor, abs=1e-6)


def test_two_rounded_files_are_compared(tmp_path: Path) -> None:
    """Neither file needs the precision of the other."""
    paths = [FORMATS[kind](tmp_path / kind, A) for kind in ("GGUF Q4_0", "fp8", "int8")]
    for one, other in pairwise(paths):
        assert lineage(one, other).verdict == "related layers"


def test_remote_files_of_other_formats_are_read_by_ranges(
    original: Path, exact: Lineage, tmp_path: Path
) -> None:
    pytest.importorskip("obstore")
    save_shards(tmp_path / "shards", WEAK)
    save_torch(tmp_path / "torch", WEAK)
    save_gguf(tmp_path / "gguf", WEAK, "Q8_0")
    with served(tmp_path) as server:
        for path in ("shards", "torch/pytorch_model.bin", "gguf/model.gguf"):
            result = lineage(original, f"{server.url}/{path}", tests=("U", "RR"))
            assert result.verdict == "related layers"
            assert result.tests["RR"].reason
            # of a remote file, columns of down are not read: two views of three
            assert exact.tests["U"].rho == pytest.approx(result.tests["U"].rho, rel=0.25)
