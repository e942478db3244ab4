# SPDX-License-Identifier: BSD-3-Clause
"""Estimates of weights where the cells of stored numbers are not known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.gguf_files import write_gguf as write_blocks
from tests.support.mergers import Case, added_once, make_case
from tests.support.quantised_merges import NAME, verify_against, write_gguf
from torch import Tensor

import sigmascope as ss
from sigmascope.provenance import Verification, verify
from sigmascope.provenance.merges.blocks import Change, Formats
from sigmascope.provenance.merges.estimating import Estimate, estimate_weights
from sigmascope.provenance.merges.number_formats import FORMATS, NumberFormat
from sigmascope.provenance.merges.sources import MatrixSource

Reals = NDArray[np.float64]

BLOCK = "blk.0.ffn_up.weight"


def searched_blocks(weight: Tensor, seed: int) -> NDArray[np.uint8]:
    """Return blocks of Q4_0 whose scales are off, as a search may choose them."""
    kind = gguf.GGMLQuantizationType.Q4_0
    x = weight.float().numpy().reshape(-1, 32)
    rng = np.random.default_rng(seed)
    extreme = np.abs(x).max(axis=1, keepdims=True) * rng.uniform(0.85, 1.2, (len(x), 1))
    scale = (extreme / 8).astype(np.float16)
    codes = np.clip(np.floor(x / scale.astype(np.float32) + 8.5), 0, 15).astype(np.uint8)
    packed = codes[:, :16] | codes[:, 16:] << 4
    blocks = np.concatenate([scale.view(np.uint8).reshape(-1, 2), packed], axis=1)
    assert blocks.shape[1] == gguf.GGML_QUANT_SIZES[kind][1]
    return blocks.reshape(len(weight), -1)


def write_searched(path: Path, weight: Tensor, seed: int) -> Path:
    named = {BLOCK: ("Q4_0", searched_blocks(weight, seed))}
    return write_blocks(path, named, general__architecture="llama")


def searched(case: Case, folder: Path, seed: int) -> Verification:
    merged = added_once(case.base, case.donors, case.weights)
    return verify_against(case, write_searched(folder / "m.gguf", merged, seed), folder)


def test_searched_scales_give_an_estimate_that_decides_nothing(tmp_path: Path) -> None:
    case = make_case(3, shape=(96, 128), size=0.1)
    result = searched(case, tmp_path, 0)
    row = result.rows[0]
    assert row["status"] == "estimated"
    assert "searched for" in row["reason"]
    assert result.verdict == "undetermined"
    assert result.weights is None
    assert any(each.startswith("Estimate by least squares") for each in result.sentences)
    low, high = row["estimate"]["intervals"][0]
    assert low < 1 < high
    a, b, scale = case.donors[0]
    change = scale * (b.double() @ a.double()).numpy()
    stored = np.asarray(ss.open_checkpoint(tmp_path / "m.gguf")[BLOCK], float)
    weight, reach = jackknife(case.base.double().numpy(), stored, change)
    assert (low + high) / 2 == pytest.approx(weight, rel=1e-6)
    loss = 2 * abs(1 - row["estimate"]["gain"]) * weight
    assert loss > 0
    assert (high - low) / 2 == pytest.approx(1.98525 * reach + loss, rel=1e-4)  # t of 95 rows


def jackknife(base: Reals, stored: Reals, change: Reals) -> tuple[float, float]:
    """Return the weight b / a of stored = a base + b change, and its error, one fit per row."""
    largest = np.abs(base).reshape(len(base), -1, 32).max(axis=2).repeat(32, axis=1)
    root = 1 - (base / largest) ** 2

    def fit(rows: NDArray[np.bool_]) -> float:
        terms = np.stack([(each * root)[rows].ravel() for each in (base, change)], axis=1)
        a, b = np.linalg.lstsq(terms, (stored * root)[rows].ravel(), rcond=None)[0]
        return float(b / a)

    n = len(base)
    without = np.array([fit(np.arange(n) != row) for row in range(n)])
    return fit(np.ones(n, bool)), float(np.sqrt((n - 1) * without.var()))


class Product:
    """A change that is given in full."""

    number_format: NumberFormat = FORMATS["f32"]

    def __init__(self, change: Reals) -> None:
        self._change = change

    def change(self, rows: slice, columns: slice, base: Reals) -> Change:
        exact = self._change[rows, columns].ravel()
        return Change(exact, np.zeros_like(exact))


def estimated(base: Reals, merged: Reals, change: Reals, **known: bool) -> Estimate:
    f32 = FORMATS["f32"]
    matrices = ss.matrix(base), ss.matrix(merged)
    source = MatrixSource(*matrices, [Product(change)], Formats(f32, f32, f32), len(base))
    estimate = estimate_weights(source, **known)
    assert estimate is not None
    return estimate


def in_groups(x: Reals, last: int, *, shrink: float) -> Reals:
    """Round to 2 `last` steps; a scale is the largest magnitude of 32 numbers times `shrink`."""
    groups = x.reshape(-1, 32)
    scale = shrink * np.abs(groups).max(axis=1, keepdims=True) / last
    return np.asarray((np.clip(np.rint(groups / scale), -last, last) * scale).reshape(x.shape))


def with_least_error(x: Reals, last: int) -> Reals:
    """Round with the scale of the least squared error of each group, among some."""
    tries = [in_groups(x, last, shrink=shrink) for shrink in np.linspace(0.6, 1, 9)]
    errors = [((each - x) ** 2).reshape(-1, 32).sum(axis=1) for each in tries]
    best = np.argmin(errors, axis=0)
    groups = np.array(tries).reshape(len(tries), -1, 32)
    return np.asarray(groups[best, np.arange(len(best))].reshape(x.shape))


def handed_on(x: Reals, rng: np.random.Generator) -> Reals:
    """Round to 4 bits, each error handed to the next numbers of the row (GPTQ)."""
    n = x.shape[1]
    inputs = rng.standard_normal((4 * n, n)) @ (np.eye(n) + rng.standard_normal((n, n)) / n**0.5)
    hessian = inputs.T @ inputs / len(inputs)
    upper = np.linalg.cholesky(np.linalg.inv(hessian + 0.01 * np.eye(n))).T
    x, out = x.copy(), np.empty_like(x)
    scale = np.abs(x).max(axis=1) / 7
    for j in range(n):
        out[:, j] = np.clip(np.rint(x[:, j] / scale), -8, 7) * scale
        x[:, j + 1 :] -= np.outer((x[:, j] - out[:, j]) / upper[j, j], upper[j, j + 1 :])
    return out


def covered(
    quantise: Callable[[Reals, np.random.Generator], Reals],
    *,
    base: Callable[[Reals], Reals] = lambda x: x,
    size: float = 0.1,
    cases: int = 200,
) -> float:
    """Return which part of intervals contains the weight 1."""
    count = 0
    for seed in range(cases):
        rng = np.random.default_rng(seed)
        original = 0.02 * rng.standard_normal((128, 128)) * (1 + 0.5 * rng.random((128, 1)))
        at_hand = base(original.astype(np.float32).astype(np.float64))
        change = rng.standard_normal((128, 4)) @ rng.standard_normal((4, 128))
        change *= size * np.linalg.norm(original) / np.linalg.norm(change)
        low, high = estimated(at_hand, quantise(at_hand + change, rng), change).intervals[0]
        count += low <= 1 <= high
    return count / cases


QUANTISERS: dict[str, Callable[[Reals, np.random.Generator], Reals]] = {
    "4 bits, scales of a search": lambda x, rng: in_groups(x, 7, shrink=rng.uniform(0.85, 1.1)),
    "4 bits, least error": lambda x, rng: with_least_error(x, 7),
    "3 bits, least error": lambda x, rng: with_least_error(x, 3),
    "6 bits, least error": lambda x, rng: with_least_error(x, 31),
    "4 bits, errors handed on": handed_on,
}


@pytest.mark.nightly
@pytest.mark.parametrize("kind", QUANTISERS)
def test_intervals_cover_the_weight_within_the_premise(kind: str) -> None:
    """About 190 of 200 intervals cover it; fewer than 180 have a probability below 0.3 %."""
    assert covered(QUANTISERS[kind]) >= 0.9


@pytest.mark.nightly
@pytest.mark.parametrize("shrink", [1.0, 0.9])
def test_intervals_miss_the_weight_of_a_base_on_the_same_grid(shrink: float) -> None:
    """The premise is stated in the manual, as is what happens without it."""
    rounded = QUANTISERS["4 bits, least error"]
    on_grid = lambda x: in_groups(x, 7, shrink=shrink)  # noqa: E731
    assert covered(rounded, base=on_grid, size=0.03, cases=50) < 0.5


def test_some_intervals_cover_the_weight() -> None:
    assert covered(QUANTISERS["4 bits, scales of a search"], cases=20) >= 0.75


def test_codes_that_keep_less_of_large_numbers_do_not_lower_the_weight() -> None:
    """A scale that is too small cuts off the largest numbers, and their changes with them."""
    rng = np.random.default_rng(5)
    base = 0.02 * rng.standard_normal((1024, 256))
    change = 0.0015 * rng.standard_normal((1024, 2)) @ rng.standard_normal((2, 256))
    merged = in_groups(base + change, 7, shrink=0.8)
    plain = float((change * (merged - base)).sum() / (change**2).sum())
    assert plain < 0.96
    (low, high), *_ = estimated(base, merged, change).intervals
    assert low <= 1 <= high
    assert high - low < 0.02


def test_an_error_of_the_base_does_not_count_as_gain() -> None:
    rng = np.random.default_rng(5)
    base = 0.02 * rng.standard_normal((256, 256))
    change = 0.004 * rng.standard_normal((256, 2)) @ rng.standard_normal((2, 256))
    at_hand = in_groups(base, 3, shrink=1.0)
    estimate = estimated(at_hand, base + change, change, base_in_codes=True)
    low, high = estimate.intervals[0]
    assert low <= 1 <= high
    assert estimate.gain == 1
    weight = (change * (base + change - at_hand)).sum() / (change**2).sum()
    assert estimate.weights[0] == pytest.approx(weight, rel=1e-9)


def test_a_base_in_codes_without_cells_gives_an_estimate(tmp_path: Path) -> None:
    case = make_case(3, shape=(96, 128), size=0.1)
    base = write_searched(tmp_path / "base.gguf", case.base, 1)
    merged = added_once(case.base, case.donors, case.weights)
    row = verify_against(case, {NAME: merged}, tmp_path, base=base).rows[0]
    assert row["status"] == "estimated"
    assert row["estimate"]["gain"] == 1
    low, high = row["estimate"]["intervals"][0]
    assert low <= 1 <= high


def test_float64_is_estimated_unless_it_was_rounded(tmp_path: Path) -> None:
    """Numbers of bfloat16 in a file of float64 have errors that depend on the change."""
    case = make_case(3, shape=(96, 128), size=0.03)
    a, b, scale = case.donors[0]
    merged = case.base.double() + scale * (b.double() @ a.double())
    result = verify_against(case, {NAME: merged}, tmp_path)
    row = result.rows[0]
    assert row["status"] == "estimated"
    low, high = row["estimate"]["intervals"][0]
    assert high - low < 1e-9
    assert abs(low - 1) < 1e-9
    assert result.verdict == "undetermined"
    again = verify_against(case, {NAME: merged.bfloat16().double()}, tmp_path)
    assert again.rows[0]["status"] == "not verified"


def test_no_estimate_if_both_files_hold_codes(tmp_path: Path) -> None:
    """Rounding the base and the merged file to one grid gives errors that depend on the change."""
    case = make_case(3, shape=(96, 128), size=0.03)
    base = write_searched(tmp_path / "base.gguf", case.base, 1)
    for merged in (base, write_gguf(tmp_path / "merged.gguf", case.base, "Q8_0")):
        result = verify_against(case, merged, tmp_path, base=base)
        assert result.rows[0]["status"] == "not verified"
        assert result.verdict == "undetermined"


def test_no_estimate_of_a_model_if_the_base_holds_codes(tmp_path: Path) -> None:
    """An error of the base is in the change F - W, too, and would count as a change of 1."""
    case = make_case(3, shape=(96, 128), size=0.1)
    base = write_searched(tmp_path / "base.gguf", case.base, 1)
    model = added_once(case.base, case.donors, [1.0])
    merged = added_once(case.base, case.donors, [0.5])
    result = verify(base, {NAME: merged}, {NAME: model}, expect="weights=.5")
    assert result.rows[0]["status"] == "not verified"
