# SPDX-License-Identifier: BSD-3-Clause
"""MXFP4 as gpt-oss stores it, against a reference that decodes one number at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support.checkpoints import Stored, of_array, opened, record

import sigmascope as ss
from sigmascope.errors import CheckpointError

EXPERTS = "model.layers.0.mlp.experts."
VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
GPT_OSS = {
    "model_type": "gpt_oss",
    "hidden_size": 64,
    "intermediate_size": 32,
    "quantization_config": {"quant_method": "mxfp4"},
}


def dequantised(blocks: NDArray[np.uint8], scales: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Number by number, from the definitions of E2M1 and E8M0: rows x 32 groups."""
    rows, groups, _ = blocks.shape
    decoded = np.zeros((rows, 32 * groups))
    for row in range(rows):
        for column in range(32 * groups):
            group, place = divmod(column, 32)
            byte = int(blocks[row, group, place // 2])
            code = byte >> 4 if place % 2 else byte & 15
            sign = -1.0 if code & 8 else 1.0
            decoded[row, column] = sign * VALUES[code & 7] * 2.0 ** (int(scales[row, group]) - 127)
    return decoded


def packed(*shape: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (*shape, 16), np.uint8)
    return blocks, rng.integers(118, 131, shape, np.uint8)


def stored(name: str, blocks: NDArray[Any], scales: NDArray[Any]) -> tuple[Stored, Stored]:
    return (
        of_array(f"{EXPERTS}{name}_blocks", "U8", blocks),
        of_array(f"{EXPERTS}{name}_scales", "U8", scales),
    )


def test_every_expert_is_a_matrix_with_its_own_scales(tmp_path: Path) -> None:
    blocks, scales = packed(3, 10, 2)
    checkpoint = opened(tmp_path, *stored("down_proj", blocks, scales))
    name = f"{EXPERTS}down_proj_blocks"
    assert list(checkpoint) == [f"{name}[{index}]" for index in range(3)]
    for index, key in enumerate(checkpoint):
        a = checkpoint[key]
        assert (a.shape, a.storage, a.in_memory) == ((10, 64), "f4_e2m1", False)
        truth = dequantised(blocks[index], scales[index])
        for decoded in (a, a.load()):
            np.testing.assert_array_equal(np.asarray(decoded, np.float64), truth)
            np.testing.assert_array_equal(np.asarray(decoded), truth.astype(np.float32))
        role = checkpoint.roles[key]
        assert (role.layer, role.role, role.expert) == (0, "down", index)
        assert checkpoint.record_of(key)["nbytes"] == 10 * 32
    row = record(checkpoint, name)
    assert row["status"] == "stack"
    assert row["view"] == (
        f"stack of 3 matrices 10 x 64; MXFP4, scale per 1 x 32 block, {EXPERTS}down_proj_scales"
    )
    scale = record(checkpoint, f"{EXPERTS}down_proj_scales")
    assert (scale["status"], scale["reason"]) == ("scale", f"scale of {name}")
    assert dict(checkpoint.unreadable) == {}


def test_agrees_with_the_conversion_in_transformers(tmp_path: Path) -> None:
    """Its steps, as published: two tables looked up, interleaved, scaled by ldexp, then turned."""
    blocks, scales = packed(2, 6, 3, seed=1)
    table = np.array([*VALUES, *(-v for v in VALUES)])
    halves = np.stack([table[blocks & 15], table[blocks >> 4]], axis=-1).reshape(2, 6, 3, 32)
    theirs = np.ldexp(halves, scales[..., None].astype(int) - 127).reshape(2, 6, 96)
    theirs = theirs.transpose(0, 2, 1)
    checkpoint = opened(tmp_path, *stored("gate_up_proj", blocks, scales))
    for index, a in enumerate(checkpoint.values()):
        np.testing.assert_array_equal(np.asarray(a.T, np.float64), theirs[index])


def test_one_matrix_and_the_names_of_the_original_release(tmp_path: Path) -> None:
    blocks, scales = packed(5, 2)
    name = "block.0.mlp.mlp2_weight"
    checkpoint = opened(
        tmp_path,
        of_array(f"{name}.blocks", "U8", blocks),
        of_array(f"{name}.scales", "F8_E8M0", scales),
    )
    truth = dequantised(blocks, scales)
    assert record(checkpoint, f"{name}.blocks")["status"] == "matrix"
    np.testing.assert_array_equal(np.asarray(checkpoint[f"{name}.blocks"], np.float64), truth)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[ss.Matrix, NDArray[np.float64]]:
    blocks, scales = packed(40, 2, seed=2)
    folder = tmp_path_factory.mktemp("mxfp4")
    checkpoint = opened(folder, Stored("odd", "U8", (3,)), *stored("down_proj", blocks, scales))
    return checkpoint[f"{EXPERTS}down_proj_blocks"], dequantised(blocks, scales)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_slice_of_any_slice_turned_or_not(
    case: tuple[ss.Matrix, NDArray[np.float64]], data: st.DataObject
) -> None:
    """Wherever it cuts a byte, and with any step."""
    a, truth = case
    for _ in range(2):
        rows, columns = (
            slice(
                *sorted(data.draw(st.integers(0, extent)) for _ in range(2)),
                data.draw(st.sampled_from([1, 1, 2, 3, 7])),
            )
            for extent in truth.shape
        )
        a, truth = a[rows, columns], truth[rows, columns]
        if data.draw(st.booleans()):
            a, truth = a.T, truth.T
    for got in (a, a.load()):
        np.testing.assert_array_equal(np.asarray(got, np.float64), truth)


def test_rows_of_an_odd_number_of_codes_share_bytes(tmp_path: Path) -> None:
    codes = np.random.default_rng(3).integers(0, 16, 7 * 5, np.uint8)
    pairs = np.append(codes, 0).reshape(-1, 2).astype(np.uint8)
    (tmp_path / "codes").write_bytes((pairs[:, 0] | pairs[:, 1] << 4).tobytes())
    a = ss.tensor(tmp_path / "codes", 0, (7, 5), "f4_e2m1")
    table = np.array([*VALUES, *(-v for v in VALUES)])
    np.testing.assert_array_equal(np.asarray(a), table[codes].reshape(7, 5))
    np.testing.assert_array_equal(np.asarray(a.T[1:, 3:]), table[codes].reshape(7, 5).T[1:, 3:])
    with pytest.raises(CheckpointError, match="needs 21 more"):
        ss.tensor(tmp_path / "codes", 0, (7, 5 + 1), "f4_e2m1", row_stride=3)
    with pytest.raises(ValueError, match="read, but not mapped"):
        ss.tensor(tmp_path / "codes", 0, (7, 5), "f4_e2m1", reading="mapped")


def test_spectrum_and_moments(case: tuple[ss.Matrix, NDArray[np.float64]]) -> None:
    a, truth = case
    exact = np.linalg.svd(truth, compute_uv=False)
    for source in (a, a.load(), ss.matrix(truth)):
        np.testing.assert_allclose(ss.svdvals(source).values, exact, atol=1e-6 * exact[0])
        seen = ss.moments(source)
        assert seen.fro_norm == pytest.approx(np.linalg.norm(truth), rel=1e-13)
        assert (seen.min, seen.max) == (truth.min(), truth.max())
        assert seen.zeros == np.sum(truth == 0)
    top = ss.svds(a, 4, memory_limit=64_000_000)
    np.testing.assert_allclose(top.s, exact[:4], rtol=1e-5)


def test_codes_are_counted(case: tuple[ss.Matrix, NDArray[np.float64]]) -> None:
    a, _ = case
    blocks, _ = packed(40, 2, seed=2)
    counts = ss.moments(a).histogram
    assert counts is not None
    expected = np.bincount(np.concatenate([(blocks & 15).ravel(), (blocks >> 4).ravel()]))
    np.testing.assert_array_equal(counts[:16], expected)
    assert not counts[16:].any()


def test_a_scale_that_is_not_a_number_is_refused_with_its_place(tmp_path: Path) -> None:
    blocks, scales = packed(2, 4, 2)
    scales[1, 2, 1] = 255
    checkpoint = opened(tmp_path, *stored("down_proj", blocks, scales))
    first, second = checkpoint
    assert np.isfinite(np.asarray(checkpoint[first])).all()
    with pytest.raises(CheckpointError, match=r"1 of 8 scales are NaN .* at \[2, 1\] of \[4, 2\]"):
        checkpoint[second]


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 4, 3), "U8"), ((2, 5, 2), "U8"), ((4, 2), "U8"), ((2, 4, 2), "I16")]
)
def test_scales_that_do_not_fit_leave_the_weight_unreadable(
    shape: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    blocks, _ = packed(2, 4, 2)
    codes, scales = f"{EXPERTS}down_proj_blocks", f"{EXPERTS}down_proj_scales"
    checkpoint = opened(tmp_path, of_array(codes, "U8", blocks), Stored(scales, dtype, shape))
    assert checkpoint.unreadable == {codes: "quantised weight (MXFP4): U8 codes are not decoded"}
    assert record(checkpoint, scales)["status"] == "scale"


def test_gate_and_up_alternate_by_row(tmp_path: Path) -> None:
    blocks, scales = packed(2, 64, 2, seed=4)
    checkpoint = opened(tmp_path, *stored("gate_up_proj", blocks, scales), config=GPT_OSS)
    name = f"{EXPERTS}gate_up_proj_blocks"
    assert list(checkpoint) == [f"{name}[{i}][{part}]" for i in (0, 1) for part in ("gate", "up")]
    for index in (0, 1):
        truth = dequantised(blocks[index], scales[index])
        for first, part in enumerate(("gate", "up")):
            key = f"{name}[{index}][{part}]"
            np.testing.assert_array_equal(np.asarray(checkpoint[key], np.float64), truth[first::2])
            role = checkpoint.roles[key]
            assert (role.role, role.expert) == (part, index)
            assert checkpoint.record_of(key)["nbytes"] == 32 * 64 // 2


def test_a_scan_has_a_row_for_each(tmp_path: Path) -> None:
    blocks, scales = packed(2, 64, 2, seed=5)
    opened(tmp_path, *stored("gate_up_proj", blocks, scales), config=GPT_OSS)
    scan = ss.scan(tmp_path, effort="exact", k=2)
    analysed = [row for row in scan.rows if row["status"] == "analysed"]
    assert [(row["role"], row["expert"]) for row in analysed] == [
        ("gate", 0),
        ("up", 0),
        ("gate", 1),
        ("up", 1),
    ]
    for row in analysed:
        truth = dequantised(blocks[row["expert"]], scales[row["expert"]])
        exact = np.linalg.svd(truth[row["role"] == "up" :: 2], compute_uv=False)
        np.testing.assert_allclose(row["top"], exact[:2], rtol=1e-6)
        assert (row["rows"], row["columns"], row["nbytes"]) == (32, 64, 32 * 32)


def test_same_bits_however_it_is_held(tmp_path: Path) -> None:
    """Read once, read at every pass in panels of any height, or already decoded."""
    rng = np.random.default_rng(6)
    blocks = rng.integers(0, 256, (600, 20, 16), np.uint8)
    scales = np.repeat(
        (127 - np.arange(600) // 20).astype(np.uint8)[:, None], 20, axis=1
    )  # a fast decay
    checkpoint = opened(tmp_path, *stored("down_proj", blocks, scales))
    (a,) = checkpoint.values()
    plain = ss.matrix(np.asarray(a))
    for precision in ("float32", "mixed"):
        options: dict[str, Any] = {"method": "krylov", "precision": precision, "tol": 1e-3}
        expected = ss.svds(plain, 5, **options)
        for source, limit, rows in ((a, None, None), (a, 2 * a.nbytes - 1, 37), (a.T.T, None, 101)):
            got = ss.svds(source, 5, memory_limit=limit, panel_rows=rows, **options)
            assert got.s.tobytes() == expected.s.tobytes()
            assert got.U.tobytes() == expected.U.tobytes()
    assert ss.moments(a).std == ss.moments(plain).std
