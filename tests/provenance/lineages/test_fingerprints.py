# SPDX-License-Identifier: BSD-3-Clause
"""Fingerprints stand for models: the same verdicts, in a small file that cannot be malformed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from tests.support.lineage_models import (
    HIDDEN,
    LAYERS,
    merged,
    random_model,
    rotated,
    tuned,
    with_embeddings,
)

import sigmascope as ss
from sigmascope.provenance.lineages import Fingerprint, fingerprint, lineage
from sigmascope.provenance.lineages.blocks import compare_blocks, partition_things, prepare_rows
from sigmascope.provenance.lineages.features import Features, sketch_features
from sigmascope.provenance.lineages.fingerprints import store
from sigmascope.provenance.lineages.tails import assess_blocks

A, B = random_model(1), random_model(2)

CASES = {
    "fine-tune": (tuned(A, 1), "related layers"),
    "merge": (merged(A, B), "related layers"),
    "rotated": (rotated(A), "related layers"),
    "embeddings alone": (with_embeddings(B, A), "shared basis only"),
    "stranger": (B, "not rejected"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_verdicts_are_those_of_the_files(case: str, tmp_path: Path) -> None:
    """Also if one of the two is a file: it must be sketched by the same map."""
    other, verdict = CASES[case]
    fingerprint(A).save(tmp_path / "a.npz")
    for source in (other, fingerprint(other)):
        result = lineage(tmp_path / "a.npz", source)
        assert result.verdict == verdict == lineage(A, other).verdict
        if verdict == "related layers":
            assert (result.log10_p or 0) < -30


def test_a_fingerprint_is_small_and_survives_a_file(tmp_path: Path) -> None:
    """Two layers of 128 units: 3 views of 16 bytes for each unit, and half of that again."""
    made = fingerprint(A)
    made.save(tmp_path / "a.npz")
    made.save(tmp_path / "again.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()
    rows = LAYERS * HIDDEN * 3 * 16
    assert (tmp_path / "a.npz").stat().st_size < 3 * rows + 20_000
    loaded = Fingerprint.load(tmp_path / "a.npz")
    assert lineage(loaded, B).to_dict() == lineage(made, B).to_dict()
    assert loaded.source[0]["digest"]
    assert "2 layers" in repr(loaded)


def test_fingerprints_of_other_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="make both fingerprints with the same"):
        lineage(fingerprint(A, seed=1), fingerprint(B))
    with pytest.raises(ValueError, match=r"saved as \.npz"):
        fingerprint(A).save("a.json")


def test_malformed_files_are_refused(tmp_path: Path) -> None:
    """A pickle is never run, and every error names the file."""
    good = tmp_path / "good.npz"
    fingerprint(A).save(good)
    with np.load(good) as arrays:
        parts = dict(arrays)
    header = json.loads(bytes(parts["header"]))

    def refused(**changes: object) -> None:
        file = io.BytesIO()
        np.savez(file, **{**parts, **changes})  # type: ignore[arg-type]
        (tmp_path / "bad.npz").write_bytes(file.getvalue())
        with pytest.raises(ss.errors.CheckpointError, match=r"bad\.npz: not a fingerprint"):
            Fingerprint.load(tmp_path / "bad.npz")

    def changed(**entries: object) -> np.ndarray:
        return np.frombuffer(json.dumps({**header, **entries}).encode(), np.uint8)

    refused(header=changed(format=2))
    refused(header=changed(parts={"units": {}}))
    refused(header=changed(layers=[["text"]]))
    refused(header=np.frombuffer(b"{", np.uint8))
    refused(a1=parts["a1"].astype(np.float64))
    refused(a1=parts["a1"][1:])
    refused(a0=parts["a0"][::-1])
    refused(a0=np.array([{}], dtype=object))
    for text in (b"", b"PK\x03\x04", good.read_bytes()[:500]):
        (tmp_path / "bad.npz").write_bytes(text)
        with pytest.raises(ss.errors.CheckpointError, match="not a fingerprint"):
            Fingerprint.load(tmp_path / "bad.npz")


def test_p_values_of_sketches_are_uniform() -> None:
    """The map does not see the units: 16 features in int8 keep the test exact."""
    rng, p = np.random.default_rng(0), []
    numbers, partition = np.arange(256), partition_things(256)
    for _ in range(600):
        rows = []
        for _ in range(2):
            units = {"up": prepare_rows(rng.normal(size=(256, 64)).astype(np.float32))}
            sketch = sketch_features(Features(256, numbers, units), 16)
            rows.append(store(sketch).features().views["up"])
        p.append(10 ** assess_blocks(compare_blocks(*([x] for x in rows), partition)).log10_p_sharp)
    assert stats.kstest(p, "uniform").pvalue > 0.01
