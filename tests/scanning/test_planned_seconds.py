# SPDX-License-Identifier: BSD-3-Clause
"""The seconds of a plan have the unit of seconds, whatever kind of row they are of.

The speed of the machine is given, so that nothing depends on its load: once that of the cost model,
once a thousandth of it. A ratio in place of a rate is wrong by 1e10, seconds of one thread in place
of all by their number.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.adapters import factors, lora, write_adapter
from tests.support.checkpoints import of_array, write_file
from tests.support.gguf_files import blocks as random_blocks
from tests.support.gguf_files import write_gguf
from tests.support.group_formats import gptq
from tests.support.machine_speeds import Machine, assume, of_the_cost_model

import sigmascope as ss
from sigmascope._execution.costs import Search

SLOWER = 1000
MODEL, SLOW = (of_the_cost_model(threads=4, slower=slower) for slower in (1, SLOWER))
FIXED = 0.05
"""Seconds of a matrix or a pair whatever its size, which no rate shortens."""

SIDE, WIDE, RANK = 512, 768, 16
Q = "model.layers.0.self_attn.q_proj"


def numbers(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape)


def stored(*shape: int, dtype: str = "F32", name: str = f"{Q}.weight") -> Callable[[Path], Path]:
    kinds: dict[str, Any] = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F8_E4M3": "u1"}

    def make(folder: Path) -> Path:
        x = numbers(*shape).astype(np.float32)
        if dtype == "BF16":
            x = (x.view("<u4") >> 16).astype("<u2")
        if dtype == "F8_E4M3":
            x = np.abs(x * 30).astype("u1")
        tensor = of_array(name, dtype, x.astype(kinds[dtype]))
        norm = of_array("model.norm.weight", "F32", np.ones(SIDE, np.float32))
        return write_file(folder / "model.safetensors", tensor, norm).parent

    return make


def codes(layout: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        size = 256 if "_K" in layout else 32
        rows = random_blocks(layout, SIDE * WIDE // size).reshape(SIDE, -1)
        return write_gguf(folder / "model.gguf", {"blk.0.attn_q.weight": (layout, rows)})

    return make


def groups(folder: Path) -> Path:
    tensors, _ = gptq(np.random.default_rng(0), (SIDE, WIDE), 4, 128, name=Q)
    write_file(folder / "model.safetensors", *tensors)
    how = {"quant_method": "gptq", "bits": 4, "group_size": 128, "checkpoint_format": "gptq"}
    (folder / "config.json").write_text(json.dumps({"quantization_config": how}))
    return folder


def adapter(rank: int = RANK, experts: int = 1) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        B, A = factors(SIDE, WIDE, experts * rank)
        tensors = lora(Q, B, A)
        return write_adapter(folder / f"adapter-{rank}", tensors, r=experts * rank)

    return make


def magnitudes(folder: Path) -> Path:
    """DoRA: its change cannot be known without the base."""
    tensors = lora(Q, *factors(SIDE, WIDE, RANK))
    tensors[f"{Q}.lora_magnitude_vector"] = np.ones(SIDE, np.float32)
    return write_adapter(folder / "dora", tensors, r=RANK, use_dora=True)


SCANS: dict[str, Callable[[Path], Path]] = {
    "f32": stored(SIDE, WIDE),
    "f16": stored(SIDE, WIDE, dtype="F16"),
    "bf16": stored(SIDE, WIDE, dtype="BF16"),
    "fp8": stored(SIDE, WIDE, dtype="F8_E4M3"),
    "embedding": stored(8 * SIDE, 64, name="model.embed_tokens.weight"),
    "kernel of a convolution": stored(SIDE, 64, 3, 3, name="encoder.conv.weight"),
    "stack of experts": stored(3, SIDE, WIDE, name="model.layers.0.mlp.experts.up_proj"),
    "gguf": codes("Q8_0"),
    "gguf, k-quants": codes("Q4_K"),
    "gptq": groups,
    "adapter": adapter(),
    "adapter of large rank": adapter(SIDE // 2),
}
PAIRS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Path]]] = {
    "two models": (stored(SIDE, WIDE), stored(SIDE, WIDE, dtype="BF16")),
    "model and adapter": (stored(SIDE, WIDE), adapter()),
    "model and DoRA": (stored(SIDE, WIDE), magnitudes),
    "two adapters": (adapter(), adapter()),
    "model and codes": (stored(SIDE, WIDE), groups),
}


def planned(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, make: Callable[..., Any], *paths: Path
) -> Any:
    assume(monkeypatch, machine)
    return make(*paths, k=16, num_threads=4, effort="exact", plan=True)


def assert_seconds(plan: Any, slow: Any) -> None:
    """Times are those of one look at the numbers at least, of 40 full decompositions at most."""
    assert plan.accepted
    assert [tensor.name for tensor in plan] == [tensor.name for tensor in slow]
    for tensor, slower in zip(plan, slow, strict=True):
        n, m = sorted((tensor.rows, tensor.columns))
        full = 40 * (m * n**2 + 10 * n**3) / MODEL.float64 + tensor.nbytes / 1e9
        least = tensor.nbytes / MODEL.elements / 4
        assert least <= tensor.seconds <= full + FIXED
        assert SLOWER * (tensor.seconds - FIXED) <= slower.seconds
        assert SLOWER * least <= slower.seconds <= 1.001 * SLOWER * tensor.seconds


@pytest.mark.parametrize("kind", SCANS)
def test_seconds_of_a_scan(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = SCANS[kind](tmp_path)
    assert_seconds(*(planned(monkeypatch, each, ss.scan, path) for each in (MODEL, SLOW)))


@pytest.mark.parametrize("kind", PAIRS)
def test_seconds_of_a_comparison(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for side, make in zip(("before", "after"), PAIRS[kind], strict=True):
        (tmp_path / side).mkdir()
        paths.append(make(tmp_path / side))
    assert_seconds(*(planned(monkeypatch, each, ss.compare, *paths) for each in (MODEL, SLOW)))


@pytest.mark.parametrize("machine", [MODEL, SLOW], ids=["model", "slow"])
def test_a_product_takes_less_than_its_matrix(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = planned(monkeypatch, machine, ss.scan, SCANS["f32"](tmp_path)).seconds
    times = [
        planned(monkeypatch, machine, ss.scan, adapter(rank)(tmp_path)).seconds
        for rank in (1, RANK, SIDE // 8)
    ]
    assert times == sorted(times)
    assert times[0] < times[-1] < dense


def test_more_threads_make_nothing_slower() -> None:
    """Rates are of all threads together: LAPACK's part of a product is that of one of them."""
    one = replace(
        MODEL,
        threads=1,
        **{name: getattr(MODEL, name) / 4 for name in ("float32", "split", "mixed", "float64")},
    )
    shape = (SIDE, WIDE)
    assert MODEL.product_seconds(shape, RANK) == pytest.approx(one.product_seconds(shape, RANK))
    assert MODEL.values_seconds(shape, fast=False) < one.values_seconds(shape, fast=False)
    slower = replace(one, threads=4)  # each of these has a quarter of that speed
    for density in (False, True):
        times = [
            machine.krylov_seconds(Search(shape, RANK, 1e-3, "float32", 32), density=density)
            for machine in (one, slower)
        ]
        assert times[0] < times[1] < 4 * times[0]
