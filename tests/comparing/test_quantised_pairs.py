# SPDX-License-Identifier: BSD-3-Clause
"""Weights compared with the same in a quantised format: the error's size, spectrum and directions.

Each format is written by arithmetic of its own in NumPy, from weights that are known.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from tests.support import group_formats as formats
from tests.support.checkpoints import Stored, of_array, write_file
from tests.support.gguf_files import finite_rows, write_gguf

import sigmascope as ss

NAME = "q_proj.weight"
ROWS, COLUMNS = 192, 256
NF4 = """
    -1.0 -0.6961928009986877 -0.5250730514526367 -0.39491748809814453 -0.28444138169288635
    -0.18477343022823334 -0.09105003625154495 0.0 0.07958029955625534 0.16093020141124725
    0.24611230194568634 0.33791524171829224 0.44070982933044434 0.5626170039176941
    0.7229568362236023 1.0
"""
Weights = NDArray[np.float32]
Writer = Callable[[Path, Weights], Path]


def in_folder(folder: Path, tensors: list[Stored], **settings: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / "model.safetensors", *tensors)
    (folder / "config.json").write_text(json.dumps({"quantization_config": settings}))
    return folder


def original(folder: Path, weights: Weights) -> Path:
    return in_folder(folder, [of_array(NAME, "F32", weights)])


def q8_0(folder: Path, weights: Weights) -> Path:
    import gguf

    rows = gguf.quantize(weights, gguf.GGMLQuantizationType.Q8_0)
    folder.mkdir(parents=True)
    return write_gguf(folder / "x.gguf", {NAME: ("Q8_0", rows)})


def q4_0(folder: Path, weights: Weights) -> Path:
    import gguf

    rows = gguf.quantize(weights, gguf.GGMLQuantizationType.Q4_0)
    folder.mkdir(parents=True)
    return write_gguf(folder / "x.gguf", {NAME: ("Q4_0", rows)})


def int4(folder: Path, weights: Weights) -> Path:
    blocks = weights.reshape(len(weights), -1, 32)
    scales = (np.abs(blocks).max(axis=2) / 7).astype(np.float16)
    codes = np.round(blocks / scales.astype(np.float32)[:, :, None]).astype(int).clip(-8, 7) + 8
    tensors = [
        formats.stored(
            "q_proj.weight_packed", formats.packed_rows(codes.reshape(weights.shape), 4)
        ),
        formats.stored("q_proj.weight_scale", scales),
        formats.stored("q_proj.weight_shape", np.array(weights.shape, np.int64)),
    ]
    how = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}
    groups = {"group_0": {"targets": ["Linear"], "weights": how}}
    settings: dict[str, Any] = {"format": "pack-quantized", "config_groups": groups}
    return in_folder(folder, tensors, quant_method="compressed-tensors", **settings)


def nf4(folder: Path, weights: Weights) -> Path:
    table = np.array(NF4.split(), np.float32)
    blocks = weights.reshape(-1, 64)
    scales = np.abs(blocks).max(axis=1)
    middle = (table[1:] + table[:-1]) / 2
    codes = np.searchsorted(middle, blocks / scales[:, None]).ravel()
    state = {"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": weights.shape}
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    tensors = [
        formats.stored(NAME, (codes[::2] << 4 | codes[1::2]).astype(np.uint8)[:, None]),
        formats.stored(f"{NAME}.quant_map", table),
        formats.stored(f"{NAME}.absmax", scales),
        formats.stored(f"{NAME}.quant_state.bitsandbytes__nf4", text),
    ]
    return in_folder(folder, tensors, quant_method="bitsandbytes", load_in_4bit=True)


FORMATS: dict[str, tuple[Writer, float, float]] = {
    "Q8_0": (q8_0, 7.0, 0.03),
    "Q4_0": (q4_0, 3.0, 0.03),
    "int4": (int4, 3.0, 0.03),
    "NF4": (nf4, 3.0, 0.08),
}
"""Each with bits that it has at least, and the share of the floor by which the error may be less.

The largest number of a group is exact, and numbers in the wide outer cells of NF4 are more often
near the inner ends.
"""


def gaussian() -> Weights:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((ROWS, COLUMNS)) / 16).astype(np.float32)


def spiked(factor: float = 1.0) -> Weights:
    """Noise with three strong directions, of which the second is multiplied by a factor."""
    rng = np.random.default_rng(1)
    U, V = (np.linalg.qr(rng.standard_normal((n, 3)))[0] for n in (ROWS, COLUMNS))
    strengths = np.array([12.0, 9.0 * factor, 6.0])
    return gaussian() + ((U * strengths) @ V.T).astype(np.float32)


def compared(before: Path, after: Path, **how: Any) -> dict[str, Any]:
    (row,) = ss.compare(before, after, k=8, num_threads=1, **how).analysed
    return row


@pytest.mark.parametrize("kind", FORMATS)
def test_the_error_is_the_noise_of_the_format(tmp_path: Path, kind: str) -> None:
    write, bits, less = FORMATS[kind]
    weights = gaussian()
    row = compared(original(tmp_path / "one", weights), write(tmp_path / "two", weights))
    assert 1 - less < row["delta_fro_norm"] / row["rounding_floor"] < 1.02
    assert row["above_rounding"] is False
    assert row["effective_bits"] == pytest.approx(-np.log2(row["relative_change"]))
    assert bits < row["effective_bits"] < bits + 1
    assert row["hurt_directions"] == []
    assert 0.95 < row["delta_spectral_norm"] / row["error_edge"] < 1.02
    errors, noise = (np.array(row[f"direction_{name}"]) for name in ("errors", "noise"))
    assert errors / noise == pytest.approx(np.ones(8), abs=0.2)
    assert row["changed_entries"] is None


@pytest.mark.parametrize("kind", FORMATS)
def test_a_direction_that_is_damaged_is_named(tmp_path: Path, kind: str) -> None:
    write, *_ = FORMATS[kind]
    factor = 0.97 if kind == "Q8_0" else 0.8
    before = original(tmp_path / "one", spiked())
    assert compared(before, write(tmp_path / "two", spiked()))["hurt_directions"] == []
    row = compared(before, write(tmp_path / "three", spiked(factor)))
    assert row["hurt_directions"] == [2]
    assert row["direction_errors"][1] == pytest.approx(1 - factor, rel=0.25)
    assert row["delta_spectral_norm"] > 1.1 * row["error_edge"]


def edge_of_noise(rows: NDArray[Any], columns: NDArray[Any]) -> float:
    """Return the largest value of noise of size 1 whose rows and columns have such norms.

    Of the separable covariance model of Couillet and Hachem (2014).
    """
    a, b = ((x / np.linalg.norm(x)).astype(float) ** 2 for x in (rows, columns))

    def total(shares: Any, x: float) -> float:
        return float(np.sum(shares * x / (1 - shares * x)))

    def end(p: float) -> float:
        x = p / a.max()
        w = total(a, x)
        return w / float(x * brentq(lambda y: total(b, y) - w, 0, (1 - 1e-12) / b.max()))

    least = minimize_scalar(end, bounds=(1e-6, 1 - 1e-6), method="bounded")
    return float(np.sqrt(least.fun))


def test_the_columns_are_those_of_the_numbers(tmp_path: Path) -> None:
    weights = spiked(0.8)
    before, after = original(tmp_path / "one", spiked()), int4(tmp_path / "two", weights)
    row = compared(before, after, effort="exact")
    _, s, Vt = np.linalg.svd(spiked().astype(np.float64))
    error = np.asarray(ss.open_checkpoint(after)[NAME], np.float64) - spiked()
    result = np.linalg.norm(error @ Vt[:3].T, axis=0) / s[:3]
    assert row["direction_errors"][:3] == pytest.approx(result, rel=1e-4)
    scales = np.abs(weights.reshape(ROWS, -1, 32)).max(axis=2).repeat(32, axis=1) / 7
    floor = np.linalg.norm(scales) / np.sqrt(12)
    assert row["rounding_floor"] == pytest.approx(floor, rel=1e-3)
    grow = np.linalg.norm(error) / np.linalg.norm(scales)
    columns, rows = (np.linalg.norm(scales, axis=axis) for axis in (0, 1))
    edge = edge_of_noise(rows, columns) * np.linalg.norm(error)
    assert row["error_edge"] == pytest.approx(edge, rel=1e-3)
    noise = np.sqrt((columns * grow) ** 2 @ Vt[:3].T ** 2) / s[:3]
    assert row["direction_noise"][:3] == pytest.approx(noise, rel=1e-3)


def test_in_small_memory_and_after_loading_the_floor_is_the_same(tmp_path: Path) -> None:
    weights = gaussian()
    before, after = original(tmp_path / "one", weights), nf4(tmp_path / "two", weights)
    columns = ("rounding_floor", "effective_bits", "error_edge", "direction_noise")
    results = [compared(before, after, memory_limit=limit) for limit in ("64MiB", "2GiB")]
    assert [results[0][name] for name in columns] == [results[1][name] for name in columns]


def test_two_quantised_matrices_have_both_floors(tmp_path: Path) -> None:
    weights = gaussian()
    plain = original(tmp_path / "one", weights)
    eight, four = q8_0(tmp_path / "two", weights), nf4(tmp_path / "three", weights)
    floors = [compared(plain, after)["rounding_floor"] for after in (eight, four)]
    row = compared(eight, four)
    assert row["rounding_floor"] == pytest.approx(np.hypot(*floors), rel=1e-6)
    assert row["above_rounding"] is False
    assert row["effective_bits"] is None
    assert row["hurt_directions"] is None


def test_a_codebook_has_no_floor_but_effective_bits(tmp_path: Path) -> None:
    made = write_gguf(tmp_path / "x.gguf", {NAME: ("IQ2_S", finite_rows("iq2_s", 64, 1))})
    numbers = np.asarray(ss.open_checkpoint(made)[NAME])
    rng = np.random.default_rng(0)
    noise = np.float32(0.1 * np.std(numbers)) * rng.standard_normal(numbers.shape)
    row = compared(original(tmp_path / "one", (numbers + noise).astype(np.float32)), made)
    assert (row["rounding_floor"], row["above_rounding"]) == (None, None)
    assert row["effective_bits"] == pytest.approx(np.log2(10.05), abs=0.05)
    deviation = row["delta_fro_norm"] / np.sqrt(64 * 256)
    assert row["error_edge"] == pytest.approx(deviation * (8 + 16), rel=1e-6)
    assert row["hurt_directions"] == []


def test_plain_pairs_have_no_such_columns(tmp_path: Path) -> None:
    weights = gaussian()
    one, two = original(tmp_path / "one", weights), original(tmp_path / "two", weights * 1.01)
    row = compared(one, two)
    for name in ("effective_bits", "error_edge", "direction_errors", "hurt_directions"):
        assert row[name] is None


@pytest.mark.parametrize("turned", [False, True])
def test_scales_of_one_side_belong_to_their_weight(turned: bool, tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)
    both = [original(tmp_path / "one", weights), int4(tmp_path / "two", weights)]
    comparison = ss.compare(*(both[::-1] if turned else both), effort="top", k=2)
    parts = ("q_proj.weight_scale", "q_proj.weight_shape")
    rows = {row["name"]: row for row in comparison.rows}
    assert [rows[name]["status"] for name in parts] == ["not analysed"] * 2
    assert rows[parts[0]]["reason"] == "scale of q_proj.weight_packed"
    verdict = comparison.verdict
    assert sorted(verdict.parts) == sorted(parts)
    assert not verdict.not_compared
    assert "Decoded with their weights: 2 scales and other parts." in str(verdict)
    alone = ss.compare(*both, effort="top", k=2, exclude=["q_proj.weight"])
    assert alone.verdict.not_compared == {"excluded": ("q_proj.weight",)}
