# SPDX-License-Identifier: BSD-3-Clause
"""Updates of accumulators and sketches on the simulated device: the processor's sums."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.device_arrays import Interface, Versioned, library
from tests.support.stored_types import TYPES

import sigmascope as ss
from sigmascope.errors import DeviceError, MemoryLimitError, NonFiniteError
from sigmascope.streaming import GramAccumulator, LinearSketch, MomentsAccumulator, Sketch

pytestmark = [
    pytest.mark.unsanitized,
    pytest.mark.usefixtures("simulated"),
    pytest.mark.skipif(ss.show_config()["isa"] == "scalar", reason="sums are fused on the device"),
]

SHAPE = (150, 70)
MADE: dict[str, Callable[[], Any]] = {
    "Sketch": lambda: Sketch(SHAPE[1], 5),
    "GramAccumulator": lambda: GramAccumulator(SHAPE[1]),
    "centred Sketch": lambda: Sketch(SHAPE[1], 5, center=np.linspace(0, 1, SHAPE[1])),
    "centred GramAccumulator": lambda: GramAccumulator(SHAPE[1], center=True),
    "MomentsAccumulator": lambda: MomentsAccumulator(SHAPE[1], row_norms=True),
    "LinearSketch": lambda: LinearSketch(SHAPE, 5),
}
accumulators = pytest.mark.parametrize("name", MADE)


def numbers(dtype: str, order: Any = "C") -> NDArray[Any]:
    A = np.random.default_rng(3).standard_normal(SHAPE)
    return np.array(A, order=order).astype(TYPES[dtype])


def assert_same_sums(device: Any, host: Any) -> None:
    """Gram matrices may be formed by a library; all other sums are the processor's."""
    ours, theirs = device._arrays(), host._arrays()
    assert ours.keys() == theirs.keys()
    assert device._counts() == host._counts()
    if isinstance(host, GramAccumulator) and host.rows > 0:
        (one, unit, fro), (other, *scale) = device._in_units(), host._in_units()
        assert [unit, fro] == scale
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-14 * fro**2)
        return
    for name, expected in theirs.items():
        np.testing.assert_array_equal(ours[name], expected, err_msg=name)


@accumulators
@pytest.mark.parametrize("dtype", ["f64", "f32", "bf16", "f8_e4m3"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_updates_have_the_sums_of_the_processor(
    name: str, dtype: str, order: Any, simulated: ModuleType
) -> None:
    a = numbers(dtype, order)
    host, device = (MADE[name]().update(a, **on) for on in ({}, {"device": "cuda"}))
    assert_same_sums(device, host)
    assert simulated.simulator.violation() == ""
    assert simulated.simulator.objects_in_use() == 0


@accumulators
@pytest.mark.parametrize("exponent", [-600, 600])
def test_updates_of_any_magnitude(name: str, exponent: int) -> None:
    a = np.ldexp(numbers("f64"), exponent)
    host, device = (MADE[name]().update(a, **on) for on in ({}, {"device": "cuda"}))
    assert_same_sums(device, host)


@pytest.mark.parametrize("name", [name for name in MADE if name != "LinearSketch"])
def test_rows_of_an_iterable(name: str, simulated: ModuleType) -> None:
    a = numbers("f32")
    parts = [a[:60], a[60], a[61:]]
    host, device = (MADE[name]().extend(iter(parts), **on) for on in ({}, {"device": "cuda"}))
    assert device.rows == SHAPE[0]
    assert_same_sums(device, host)
    assert simulated.simulator.counts()["launches"] > 0


def test_a_block_of_a_linear_sketch() -> None:
    a = numbers("f32")[:90, :31]
    host, device = (
        LinearSketch(SHAPE, 5).update(a, row=60, column=39, **on)
        for on in ({}, {"device": "cuda:0"})
    )
    assert_same_sums(device, host)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("exponent", [0, -300, 300])
def test_outer_products(columns: int, exponent: int, simulated: ModuleType) -> None:
    """Factors on the host, one on the device, or both give the processor's sums."""
    rng = np.random.default_rng(4)
    u = np.ldexp(rng.standard_normal((SHAPE[0], columns)), exponent)
    v = rng.standard_normal((SHAPE[1], columns)).astype(np.float32)
    host = LinearSketch(SHAPE, 5).update_outer(u, v)
    there = [Versioned(simulated, u), Interface(simulated, v)]
    for left, right, on in (
        (u, v, {"device": "cuda"}),
        (there[0], v, {}),
        (u, there[1], {"device": "cuda:0"}),
        (*there, {}),
    ):
        before = simulated.simulator.counts()["launches"]
        result = LinearSketch(SHAPE, 5).update_outer(left, right, **on)
        assert_same_sums(result, host)
        assert simulated.simulator.counts()["launches"] > before
    if columns == 1:
        result = LinearSketch(SHAPE, 5).update_outer(u[:, 0], v[:, 0], device="cuda")
        assert_same_sums(result, host)
    assert simulated.simulator.violation() == ""


@pytest.mark.parametrize("name", ["cupy", "torch"])
def test_entries_on_a_device_are_copied(
    name: str, simulated: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = library(name, simulated)
    monkeypatch.setitem(sys.modules, name, made)
    rng = np.random.default_rng(5)
    rows, columns = (rng.integers(0, extent, 40) for extent in SHAPE)
    values = rng.standard_normal(40).astype(np.float32)
    host = LinearSketch(SHAPE, 5).add_entries(rows, columns, values)
    there = (made.ndarray(simulated, x) for x in (rows, columns, values))
    assert_same_sums(LinearSketch(SHAPE, 5).add_entries(*there), host)
    monkeypatch.delitem(sys.modules, name)
    with pytest.raises(TypeError, match="Versioned on a GPU cannot be copied to the host"):
        LinearSketch(SHAPE, 5).add_entries(rows, columns, Versioned(simulated, values))


def test_an_outer_product_that_is_refused_changes_nothing(simulated: ModuleType) -> None:
    u, v = np.ones((SHAPE[0], 2)), np.ones((SHAPE[1], 2))
    sketch = LinearSketch(SHAPE, 5)
    with pytest.raises(ValueError, match=r"u \(150, 2\) and v \(70, 1\) have no product"):
        sketch.update_outer(u, v[:, :1], device="cuda")
    with pytest.raises(DeviceError, match="'cuda:3' is not available"):
        sketch.update_outer(u, v, device="cuda:3")
    u[7, 1] = np.inf
    there = Versioned(simulated, u)
    with pytest.raises(
        NonFiniteError, match=r"0 NaN and 1 infinite entries, the first at \(7, 1\)"
    ):
        sketch.update_outer(there, v)
    simulated.simulator.restart(memory=28 << 20)
    u[7, 1] = 1
    with pytest.raises(MemoryLimitError, match=r"an update by 150 x 2 needs .* on cuda:0"):
        sketch.update_outer(u, v, device="cuda")
    assert_same_sums(sketch, LinearSketch(SHAPE, 5))


@accumulators
def test_what_is_refused_changes_nothing(name: str, simulated: ModuleType) -> None:
    a = numbers("f64")
    made = MADE[name]()
    with pytest.raises(DeviceError, match=r"'cuda:3' is not available \(available: cuda:0"):
        made.update(a, device="cuda:3")
    simulated.simulator.restart(memory=28 << 20)
    with pytest.raises(MemoryLimitError, match=r"an update by 150 x 70 needs .* on cuda:0"):
        made.update(a, device="cuda")
    assert simulated.simulator.counts()["launches"] == 0
    simulated.simulator.restart()
    if name != "MomentsAccumulator":
        a[7, 3] = np.nan
        with pytest.raises(NonFiniteError, match=r"first at \(7, 3\)"):
            made.update(a, device="cuda")
    assert made.updates == 0
    assert_same_sums(made, MADE[name]())
    assert simulated.simulator.objects_in_use() == 0


def test_products_that_do_not_fit_are_named(simulated: ModuleType) -> None:
    a = ss.matrix(numbers("f64")).native
    run = {"threads": 1, "panel_rows": 0, "load_bytes": 0, "progress": None}
    on: dict[str, Any] = run | {"device": 0, "device_bytes": 0}
    with pytest.raises(ValueError, match="a block of 70 rows does not fit"):
        simulated.product_f64(a, np.ones((70, 2)), "adjoint", **on)
    with pytest.raises(ValueError, match="unknown product on a device: split"):
        simulated.product_f64(a, np.ones((70, 2)), "split", **on)


def test_centred_rows_that_lie_on_a_device(simulated: ModuleType) -> None:
    a = numbers("f32")
    made = MADE["centred GramAccumulator"]
    assert_same_sums(made().update(Versioned(simulated, a)), made().update(a))
    shifted = MADE["centred Sketch"]()
    with pytest.raises(DeviceError, match="matrices on cuda:0 and on the host cannot be"):
        shifted.update(Versioned(simulated, a))
    assert_same_sums(shifted, MADE["centred Sketch"]())
