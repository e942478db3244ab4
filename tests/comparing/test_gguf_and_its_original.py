# SPDX-License-Identifier: BSD-3-Clause
"""A GGUF file compared with the safetensors that it was made of: all pairs, and only rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.gguf_files import write_gguf
from tests.support.gguf_models import converted, permuted, weights, write_original

import sigmascope as ss
from sigmascope.results import Comparison


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as safetensors, as GGUF, and as GGUF of an architecture that permutes no rows."""
    made = tmp_path_factory.mktemp("models")
    (made / "original").mkdir()
    write_original(made / "original", weights(layers=1))
    converted(made / "q8.gguf", weights(layers=1))
    converted(made / "qwen2.gguf", weights(layers=1), architecture="qwen2")
    return made


@pytest.fixture(scope="module")
def compared(folder: Path) -> Comparison:
    """The comparison of a model with the same in Q8_0."""
    return ss.compare(folder / "original", folder / "q8.gguf")


def step_norm(numbers: Any) -> float:
    """Expected norm of the rounding of Q8_0: uniform, in steps of 1/127 of the largest of 32.

    The largest itself is exact, but for the rounding of the scale to fp16.
    """
    blocks = np.abs(numbers.astype(np.float64)).reshape(-1, 32)
    return float(np.sqrt((31 * (blocks.max(axis=1) / 127) ** 2 / 12).sum()))


def test_all_pair_and_the_change_is_that_of_the_step(compared: Comparison) -> None:
    tensors = weights(layers=1)
    rows = compared.rows
    assert {row["before"] for row in rows} == set(tensors)
    assert {row["status"] for row in rows} == {"analysed", "entrywise"}
    for row in rows:
        numbers = tensors[row["before"]]
        if numbers.ndim == 1:
            assert row["relative_change"] == 0
            continue
        size = float(np.linalg.norm(numbers.astype(np.float64)))
        assert row["relative_change"] == pytest.approx(step_norm(numbers) / size, rel=0.02)
        # Rounding errors that are independent spread over all directions.
        deviation = step_norm(numbers) / np.sqrt(numbers.size)
        edge = deviation * (np.sqrt(numbers.shape[0]) + np.sqrt(numbers.shape[1]))
        assert row["delta_spectral_norm"] == pytest.approx(edge, rel=0.06)


def test_the_spectrum_of_the_change_is_that_of_the_step(compared: Comparison) -> None:
    matrices = compared.analysed
    assert len(matrices) == 9
    for row in matrices:
        assert 0.975 < row["delta_fro_norm"] / row["rounding_floor"] < 1.01
        assert 0.94 < row["delta_spectral_norm"] / row["error_edge"] < 1.03
        slack = 2 * row["delta_effective_rank_error"] + 0.01 * row["rounding_effective_rank"]
        distance = row["delta_effective_rank"] - row["rounding_effective_rank"]
        assert abs(distance) < slack
        assert row["hurt_directions"] == []
        assert 7 < row["effective_bits"] < 8
    assert compared.verdict.changed == ()
    assert len(compared.verdict.within_rounding) == compared.verdict.quantised == 9


def test_without_undoing_the_permutation_the_change_of_q_and_k_is_nonsense(folder: Path) -> None:
    """As a file of another architecture, whose converter does not permute."""
    rows = ss.compare(folder / "original", folder / "qwen2.gguf", effort="top", k=2).rows
    for row in rows:
        if row["role"] in ("q", "k"):
            assert row["relative_change"] > 1
        else:
            assert row["relative_change"] < 0.01


def test_rows_are_those_of_the_original_and_biases_too(tmp_path: Path) -> None:
    tensors = weights(layers=1, bias=True)
    checkpoint = ss.open_checkpoint(converted(tmp_path / "x.gguf", tensors, "F32"))
    for part, letter in (("q_proj", "q"), ("k_proj", "k")):
        name = f"model.layers.0.self_attn.{part}"
        np.testing.assert_array_equal(
            np.asarray(checkpoint[f"blk.0.attn_{letter}.weight"]),
            tensors[f"{name}.weight"].astype(np.float32),
        )
        elements = checkpoint.elements(f"blk.0.attn_{letter}.bias")
        assert elements is not None
        values = np.concatenate(list(elements))
        np.testing.assert_array_equal(values, tensors[f"{name}.bias"].astype(np.float64))


@pytest.mark.parametrize(("rows", "heads"), [(12, 1), (12, 3), (64, 8)])
def test_the_cut_undoes_the_permutation(tmp_path: Path, rows: int, heads: int) -> None:
    places = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
    tensors = {"blk.0.attn_q.weight": ("F32", permuted(places, heads))}
    settings: dict[str, Any] = {"llama__attention__head_count": heads}
    path = write_gguf(tmp_path / "x.gguf", tensors, general__architecture="llama", **settings)
    checkpoint = ss.open_checkpoint(path)
    assert checkpoint.notes == ()
    np.testing.assert_array_equal(np.asarray(checkpoint["blk.0.attn_q.weight"]), places)


def test_heads_that_do_not_fit_leave_the_order_with_a_note(tmp_path: Path) -> None:
    numbers = np.arange(12 * 4, dtype=np.float32).reshape(12, 4)
    tensors = {"blk.0.attn_q.weight": ("F32", numbers)}
    for each in ({"llama__attention__head_count": 5}, {}, {"llama__attention__head_count": 2**31}):
        path = write_gguf(tmp_path / "x.gguf", tensors, general__architecture="llama", **each)
        checkpoint = ss.open_checkpoint(path)
        values = np.asarray(checkpoint["blk.0.attn_q.weight"])
        np.testing.assert_array_equal(values, numbers)
        (note,) = checkpoint.notes
        assert note.startswith(
            "rows of q and k left in the order of llama.cpp: blk.0.attn_q.weight: "
        )


def test_every_layer_may_have_a_number_of_heads_of_its_own(tmp_path: Path) -> None:
    numbers = np.arange(12 * 4, dtype=np.float32).reshape(12, 4)
    tensors = {f"blk.{k}.attn_q.weight": ("F32", permuted(numbers, k + 1)) for k in range(3)}
    settings: dict[str, Any] = {"llama__attention__head_count": [1, 2, 3]}
    path = write_gguf(tmp_path / "x.gguf", tensors, general__architecture="llama", **settings)
    checkpoint = ss.open_checkpoint(path)
    assert checkpoint.notes == ()
    for name in tensors:
        np.testing.assert_array_equal(np.asarray(checkpoint[name]), numbers)
