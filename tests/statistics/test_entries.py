# SPDX-License-Identifier: BSD-3-Clause
"""Sums over the entries of tensors: exact numbers of every format, in any chunks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.changed import stored
from tests.support.checkpoints import Stored, of_array, write_file
from tests.support.made_changes import FLOATS, WHOLE
from tests.support.tiers import short
from tests.support.vector_changes import change_of

import sigmascope as ss

OPTIONS: dict[str, Any] = {"k": 4, "num_threads": 1, "memory_limit": "1GiB"}


numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20))
def test_sums_hold_from_the_least_number_to_the_greatest(pairs: list[tuple[float, float]]) -> None:
    x, y = (np.array(side) for side in zip(*pairs, strict=True))
    parts = [part for part in np.array_split(np.arange(len(x)), 3) if len(part)]
    apart = change_of(("f64", "f64"), [(x[part], y[part]) for part in parts])
    one2 = sum(Fraction(a) ** 2 for a in x.tolist())
    two2 = sum(Fraction(b) ** 2 for b in y.tolist())
    change2 = sum((Fraction(b) - Fraction(a)) ** 2 for a, b in pairs)
    assert apart.changed == sum(a != b for a, b in pairs)
    for total, exact in ((apart.before.squares, one2), (apart.change, change2)):
        number, exponent = total.split()
        value = Fraction(number) * Fraction(2) ** exponent
        assert abs(value - exact) <= Fraction(1, 2**40) * exact
    if one2 and two2 and (cosine := apart.cosine) is not None:
        inner = sum(Fraction(a) * Fraction(b) for a, b in pairs)
        assert abs(Fraction(cosine.value) ** 2 - inner**2 / (one2 * two2)) < Fraction(1, 2**38)


def test_whole_numbers_are_compared_exactly() -> None:
    """Beyond 2**53 float64 tells no difference."""
    big = 2**62
    for kinds, x, y in (
        (("i64", "i64"), np.array([big + 1, 3]), np.array([big, 3])),
        (("u64", "i64"), np.array([big + 1, 3], np.uint64), np.array([big, 3])),
        (("i64", "f64"), np.array([2**53 + 1, 3]), np.array([2.0**53, 3.0])),
    ):
        apart = change_of(kinds, [(x, y)])
        assert apart.changed == 1, kinds
        if "f64" not in kinds:
            assert apart.above_rounding is True


def test_every_format_is_decoded_as_it_is(tmp_path: Path) -> None:
    """All codes of the narrow formats, the wide ones at random; a few numbers at a time."""
    for dtype, kind in (*FLOATS.items(), *WHOLE.items()):
        size = np.dtype(kind).itemsize
        codes = np.arange(256, dtype=np.uint8) if size == 1 else None
        if codes is None:
            codes = np.random.default_rng(3).integers(0, 2**16, 400, np.uint16)
        array = np.frombuffer(codes.tobytes()[: 400 // size * size], kind)
        path = write_file(tmp_path / "x.safetensors", of_array("v", dtype, array))
        result = ss.open_checkpoint(path).elements("v")
        assert result is not None
        read = np.concatenate(list(result))
        np.testing.assert_array_equal(read, array if dtype in WHOLE else array.astype(np.float64))


def test_exponents_are_numbers(tmp_path: Path) -> None:
    codes = np.array([0, 126, 127, 128, 254], np.uint8)
    path = write_file(tmp_path / "x.safetensors", Stored("v", "F8_E8M0", (5,), codes.tobytes()))
    result = ss.open_checkpoint(path).elements("v")
    assert result is not None
    assert np.concatenate(list(result)).tolist() == [2.0**-127, 0.5, 1.0, 2.0, 2.0**127]


@pytest.mark.parametrize("reading", short(["mapped"], ["buffered", "uncached", "mapped"]))
def test_chunks_change_no_bit(tmp_path: Path, reading: str) -> None:
    """A thousand copies of a vector have its largest entries, and a thousand times its sums."""
    rng, times = np.random.default_rng(4), 1000
    x = rng.standard_normal(1000)
    rows = []
    for copies in (1, times):
        one, two = (
            write_file(tmp_path / name, stored("v", np.tile(numbers, copies), dtype))
            for name, numbers, dtype in (
                ("a.safetensors", x, "F32"),
                ("b.safetensors", x + 0.1, "BF16"),
            )
        )
        rows.append(ss.compare(one, two, reading=reading, **OPTIONS)["v"])
    whole, cut = rows
    assert cut["changed_entries"] == times * whole["changed_entries"]
    for name in ("before_abs_max", "delta_abs_max"):
        assert cut[name] == whole[name]
    for name in ("relative_change", "cosine"):
        assert cut[name] == pytest.approx(whole[name], rel=1e-13)
    for name in ("rounding_floor", "before_fro_norm"):
        assert cut[name] == pytest.approx(np.sqrt(times) * whole[name], rel=1e-13)


def test_the_first_nan_or_infinity_may_be_in_any_chunk(tmp_path: Path) -> None:
    """A chunk holds a megabyte of float64 or less."""
    size = 1 << 20
    for places in ([3], [size // 2 + 1, size // 2 + 3], [size - 1]):
        x = np.ones(size)
        x[places] = np.nan
        row = ss.scan(write_file(tmp_path / "x.safetensors", stored("v", x, "F32")), **OPTIONS)["v"]
        assert (row["first_nonfinite"], row["nan"]) == ([places[0]], len(places))


def test_numbers_with_strides_are_read_in_order(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(24.0)
    model = {
        "step": base[::3],
        "still": base[:1].expand(5),
        "turned": torch.arange(6).reshape(2, 3).T,
    }
    torch.save(model, tmp_path / "x.pt")
    opened = ss.open_checkpoint(tmp_path / "x.pt")
    for name, tensor in model.items():
        result = opened.elements(name)
        assert result is not None
        assert np.concatenate(list(result)).tolist() == tensor.flatten().tolist()


def test_the_mean_is_that_of_the_finite_entries() -> None:
    """A vector with NaN and infinity fails, and its row still has the mean of all other entries."""
    (row,) = ss.scan({"v": np.array([1.0, 2.0, np.inf, 3.0, np.nan, -np.inf])}, **OPTIONS).rows
    assert (row["status"], row["nan"], row["inf"], row["mean"]) == ("failed", 1, 2, 2.0)
