# SPDX-License-Identifier: BSD-3-Clause
"""Files as they are read: by ranges, in any orientation and precision, cut into heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.bytes_read import bytes_read
from tests.support.file_server import FileServer
from tests.support.lineage_files import HEADS, saved
from tests.support.lineage_models import (
    EMBED,
    Weights,
    name,
    permuted,
    random_model,
    rotated,
    tuned,
)

from sigmascope import open_checkpoint
from sigmascope.provenance.lineages import lineage
from sigmascope.provenance.lineages.circuits import singular_values_of_product
from sigmascope.provenance.lineages.extraction import CheckpointModel, choose_deep
from sigmascope.provenance.lineages.features import Layer

A, B = random_model(1), random_model(2)


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_precision_does_not_change_the_verdict(dtype: str, tmp_path: Path) -> None:
    one, other = saved(tmp_path / "a", A), saved(tmp_path / "b", tuned(A, 1), dtype)
    result = lineage(one, other)
    assert result.verdict == "related layers"
    exact = lineage(A, tuned(A, 1))
    assert result.tests["U"].rho == pytest.approx(exact.tests["U"].rho, rel=0.01)


def in_new_bases(weights: Weights, seed: int) -> Weights:
    """Other bases inside each head, which change no circuit."""
    rng, result = np.random.default_rng(seed), dict(weights)
    for layer in (0, 1):
        q, k, v, o = (result[name(layer, kind)].copy() for kind in "qkvo")
        for head in range(HEADS):
            rows = slice(4 * head, 4 * head + 4)
            one, other = rng.normal(size=(2, 4, 4)).astype(np.float32) + 2 * np.eye(4)
            q[rows], k[rows] = one.T @ q[rows], np.linalg.inv(one) @ k[rows]
            v[rows], o[:, rows] = other @ v[rows], o[:, rows] @ np.linalg.inv(other)
        for kind, x in zip("qkvo", (q, k, v, o), strict=True):
            result[name(layer, kind)] = x.astype(np.float32)
    return result


def test_heads_are_seen_through_every_disguise(tmp_path: Path) -> None:
    """Units permuted, the residual rotated, bases changed: circuits keep their spectra."""
    disguised = in_new_bases(rotated(permuted(tuned(A, 1, 0.05))), 3)
    one, other = saved(tmp_path / "a", A), saved(tmp_path / "b", disguised)
    result = lineage(one, other)
    assert result.verdict == "related heads"
    assert (result.tests["H"].log10_p or 0) < -10
    assert "circuits agree head by head" in result.text
    for key in ("U", "N", "UR", "R", "RR"):
        assert (result.tests[key].log10_adjusted or 0) > -6
    stranger = lineage(one, saved(tmp_path / "c", B))
    assert (stranger.tests["H"].log10_p or 0) > -3


def test_heads_with_slopes_abstain(tmp_path: Path) -> None:
    config = {"architectures": ["BloomForCausalLM"]}
    folders = [saved(tmp_path / str(i), A, **config) for i in range(2)]
    assert "slopes (ALiBi)" in lineage(*folders).tests["H"].reason


def test_grouped_queries_move_together(tmp_path: Path) -> None:
    """16 queries of 8 keys: the things are 8 groups, each with two spectra."""
    grouped = dict(A)
    for layer in (0, 1):
        for kind in "kv":
            grouped[name(layer, kind)] = A[name(layer, kind)][:32]
    folder = saved(tmp_path / "a", grouped, num_key_value_heads=8)
    model = CheckpointModel(open_checkpoint(folder, heads=True), units=None, seed=1)
    heads = model.heads([Layer("text", 0)])[Layer("text", 0)]
    assert heads.count == 8
    assert heads.views["circuits"].shape == (8, 2 * (4 + 4))


def test_spectra_of_circuits_are_those_of_the_dense_product() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 8, 40)).astype(np.float32)
    expected = np.linalg.svd(left.astype(np.float64).T @ right, compute_uv=False)[:8]
    np.testing.assert_allclose(singular_values_of_product(left, right), expected, rtol=1e-5)
    right[3:] = 0
    assert np.all(singular_values_of_product(left, right)[3:] < 1e-2)


def test_weights_with_inputs_as_rows_are_turned(tmp_path: Path) -> None:
    """GPT-2 stores its weights transposed: units are columns of up and rows of down."""

    def gpt2(weights: Weights) -> Weights:
        result = {"wte.weight": weights[EMBED]}
        for layer in (0, 1):
            result[f"h.{layer}.mlp.c_fc.weight"] = np.ascontiguousarray(
                weights[name(layer, "up")].T
            )
            down = np.ascontiguousarray(weights[name(layer, "down")].T)
            result[f"h.{layer}.mlp.c_proj.weight"] = down
        return result

    model = CheckpointModel(open_checkpoint(gpt2(A)), units=None, seed=1)
    assert set(model.layers.values()) == {128}
    result = lineage(gpt2(A), gpt2(tuned(A, 1)))
    assert result.verdict == "related layers"
    assert result.tests["U"].rho > 0.8
    assert lineage(gpt2(A), gpt2(B)).verdict == "not rejected"


def large(seed: int) -> Weights:
    return random_model(seed, layers=6, hidden=2048)


def test_a_sample_reads_a_share_of_the_bytes(tmp_path: Path) -> None:
    """A sixteenth of the rows of gate and up; with all tests, two layers of six besides."""
    one, other = saved(tmp_path / "a", large(1)), saved(tmp_path / "b", large(2))
    size = (one / "model.safetensors").stat().st_size
    start = bytes_read()
    result = lineage(one, other, units=128, tests=("U", "N", "UR"))
    used = bytes_read() - start
    assert result.tests["U"].things == 6 * 128
    assert result.nbytes < 0.06 * 2 * size
    assert used < 0.15 * 2 * size  # with headers and whole pages
    whole = lineage(one, other, units=128)
    assert whole.tests["RR"].log10_p is not None
    assert whole.nbytes < 0.45 * 2 * size
    every = lineage(one, other, units=None, tests=("U",))
    assert every.tests["U"].things == 6 * 2048
    assert every.nbytes > 0.8 * 2 * size


def test_a_remote_file_is_read_by_ranges(tmp_path: Path) -> None:
    """RR and H need all rows, and abstain."""
    pytest.importorskip("obstore")
    one, other = saved(tmp_path / "a", large(1)), saved(tmp_path / "b", tuned(large(1), 2))
    with FileServer(tmp_path).running() as server:
        result = lineage(f"{server.url}/a", other, units=128)
    assert result.verdict == "related layers"
    assert result.tests["RR"].reason
    assert result.tests["H"].reason
    assert result.tests["U"].log10_p == pytest.approx(
        lineage(one, other, units=128).tests["U"].log10_p
    )


def test_rows_with_nan_are_dead() -> None:
    broken = {key: x.copy() for key, x in tuned(A, 1).items()}
    broken[name(0, "up")][3, 5] = np.nan
    result = lineage(A, broken)
    assert result.verdict == "related layers"
    assert result.tests["U"].things == 128 + 120  # 127 units make 15 blocks


def test_a_few_deep_layers_are_evenly_spaced() -> None:
    layers = [Layer("text", number) for number in range(32)]
    assert [layer.number for layer in choose_deep(layers, True)] == [0, 31]
    assert choose_deep(layers, False) == tuple(layers)
    assert choose_deep(layers[:2], True) == tuple(layers[:2])


def test_chosen_layers_alone_are_compared() -> None:
    result = lineage(A, tuned(A, 1), layers=[1])
    assert [each.before.number for each in result.layers] == [1]
    assert "L" not in result.tests
    assert result.text.startswith("Layer 1 shares an origin")
