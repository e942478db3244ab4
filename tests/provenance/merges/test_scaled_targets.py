# SPDX-License-Identifier: BSD-3-Clause
"""Merges in float8 with scales, and in NF4, FP4 and int8 of bitsandbytes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.faulty_merges import FAULTS, OF_ADAPTERS
from tests.support.mergers import added_once, make_case
from tests.support.quantised_merges import (
    NAME,
    float8,
    four_bits,
    int8_rows,
    intervals,
    verify_against,
    write_coded,
)
from tests.support.verified_merges import contains
from torch import Tensor

import sigmascope as ss
from sigmascope.extension.pairs import members
from sigmascope.extension.quantised import stored_codes
from sigmascope.provenance.merges.cell_readers import cell_reader

Quantise = Callable[[Tensor], dict[str, Tensor]]

E5M2 = torch.float8_e5m2

QUANTISERS: dict[str, tuple[Quantise, str]] = {
    "nf4": (lambda x: four_bits(x, "nf4"), "bitsandbytes"),
    "nf4, runs of 128": (lambda x: four_bits(x, "nf4", 128), "bitsandbytes"),
    "nf4, scales of 8 bits": (lambda x: four_bits(x, "nf4", nested=True), "bitsandbytes"),
    "fp4": (lambda x: four_bits(x, "fp4"), "bitsandbytes"),
    "int8": (int8_rows, "bitsandbytes"),
    "float8": (lambda x: float8(x, None), "fp8"),
    "float8, rows": (lambda x: float8(x, (1, x.shape[1])), "fp8"),
    "float8, blocks": (lambda x: float8(x, (32, 32)), "blocks"),
    "float8 (e5m2)": (lambda x: float8(x, None, E5M2), "fp8"),
}
ONCE = "added in float32, rounded once"
THROUGH = "added in float32, rounded to bfloat16 and then converted"


def write(folder: Path, kind: str, weight: Tensor) -> Path:
    quantise, method = QUANTISERS[kind]
    return write_coded(folder, quantise(weight), method)


def adversarial(seed: int, shape: tuple[int, int] = (64, 256)) -> Tensor:
    """Return numbers of many sizes, with zeros, outliers, repeats and ties of halves."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 10.0 ** rng.uniform(-3, 1, (shape[0], 1))
    x[::5] = rng.standard_cauchy(x[::5].shape).clip(-1e4, 1e4)
    x[1::5, ::3] = 0
    x[2::5] = np.round(x[2::5] / np.abs(x[2::5]).max() * 254) / 254
    x[3::5, 0] = -np.abs(x[3::5]).max()
    return torch.tensor(x, dtype=torch.float32)


def assert_inside(path: Path, x: Tensor) -> None:
    checkpoint = ss.open_checkpoint(path)
    member = next(each for each in members(checkpoint) if each.name == NAME)
    reader = cell_reader(checkpoint, member)
    assert reader is not None
    rows, columns = x.shape
    for part in (slice(0, columns), slice(7, columns - 30)):
        low, high = reader.cells(slice(3, rows), part)
        numbers = x[3:, part].double().numpy().ravel()
        assert (low <= numbers).all(), numbers[low > numbers]
        assert (numbers <= high).all(), numbers[high < numbers]


@pytest.mark.parametrize("kind", QUANTISERS)
@pytest.mark.parametrize("seed", range(2))
def test_numbers_are_in_their_cells(kind: str, seed: int, tmp_path: Path) -> None:
    x = adversarial(seed)
    assert_inside(write(tmp_path / "m", kind, x), x)


@pytest.mark.parametrize("kind", QUANTISERS)
def test_codes_times_scales_are_the_numbers(kind: str, tmp_path: Path) -> None:
    checkpoint = ss.open_checkpoint(write(tmp_path / "m", kind, adversarial(4)))
    stored = stored_codes(checkpoint, NAME)
    assert stored is not None
    assert stored.scales is not None
    product = np.asarray(stored.codes) * np.asarray(stored.scales)
    np.testing.assert_allclose(product, np.asarray(checkpoint[NAME]), rtol=1e-6)


def check(kind: str, seed: int, folder: Path) -> None:
    case = make_case(seed, shape=(96, 128), size=0.03)
    half = bool(seed % 2)
    merged = added_once(case.base, case.donors, case.weights)
    merged = merged.bfloat16() if half else merged
    result = verify_against(case, write(folder / "m", kind, merged), folder)
    assert contains(result, case.weights), (result.weights, result.rows)
    assert result.verdict == "confirmed", result
    low, high = intervals(result)[THROUGH if half else ONCE]
    assert low <= 1 <= high


@pytest.mark.parametrize("kind", QUANTISERS)
@pytest.mark.parametrize("seed", [0, 1])
def test_true_weights_are_inside_and_confirmed(kind: str, seed: int, tmp_path: Path) -> None:
    check(kind, seed, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", QUANTISERS)
@pytest.mark.parametrize("seed", range(100, 140))
def test_more_true_weights_are_inside(kind: str, seed: int, tmp_path: Path) -> None:
    check(kind, seed, tmp_path)


def verify_fault(kind: str, fault: str, seed: int, folder: Path) -> str:
    case = make_case(seed, shape=(192, 192), size=0.03)
    merged = (FAULTS | OF_ADAPTERS)[fault](case, added_once, seed)
    return verify_against(case, write(folder / "m", kind, merged), folder).verdict


@pytest.mark.parametrize("kind", ["nf4", "nf4, scales of 8 bits", "int8", "float8, blocks"])
@pytest.mark.parametrize("fault", ["missing", "x 1.01"])
def test_faults_are_refuted(kind: str, fault: str, tmp_path: Path) -> None:
    assert verify_fault(kind, fault, 11, tmp_path) == "refuted"


@pytest.mark.nightly
@pytest.mark.parametrize("kind", QUANTISERS)
@pytest.mark.parametrize("fault", FAULTS | OF_ADAPTERS)
def test_no_fault_is_confirmed(kind: str, fault: str, tmp_path: Path) -> None:
    verdict = verify_fault(kind, fault, 12, tmp_path)
    assert verdict != "confirmed"
    if fault != "x 1.001":
        assert verdict == "refuted"


def test_a_scale_of_another_block_is_noticed(tmp_path: Path) -> None:
    """Cells follow the scales: one that is a tenth larger is another merge."""
    case = make_case(2, shape=(128, 128), size=0.03)
    named = float8(added_once(case.base, case.donors, case.weights), (32, 32))
    named[f"{NAME}_scale_inv"][1, 2] *= 1.1
    result = verify_against(case, write_coded(tmp_path / "m", named, "blocks"), tmp_path)
    assert result.verdict == "refuted"


def bitsandbytes() -> Any:
    """Import the package, whose import may warn of what it lacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return import_module("bitsandbytes.functional")
        except ModuleNotFoundError as error:
            pytest.skip(f"for bitsandbytes: {error}")


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_numbers_that_bitsandbytes_quantised(
    kind: str, nested: bool, dtype: torch.dtype, tmp_path: Path
) -> None:
    functional = bitsandbytes()
    x = adversarial(5).to(dtype)
    codes, state = functional.quantize_4bit(
        x, blocksize=64, quant_type=kind, compress_statistics=nested
    )
    parts = state.as_dict(packed=True).items()
    named = {NAME: codes} | {f"{NAME}.{name}": each for name, each in parts}
    assert_inside(write_coded(tmp_path / "m", named, "bitsandbytes"), x)


def test_rows_that_bitsandbytes_quantised(tmp_path: Path) -> None:
    x = adversarial(5).half()
    codes, scales, _ = bitsandbytes().int8_vectorwise_quant(x)
    named = {NAME: codes, f"{NAME.removesuffix('.weight')}.SCB": scales}
    assert_inside(write_coded(tmp_path / "m", named, "bitsandbytes"), x)
