# SPDX-License-Identifier: BSD-3-Clause
"""The whole text of scans, comparisons, contents and plans, at 80 and 160 columns and in a pipe.

The texts are in the folder snapshots. With SIGMASCOPE_SNAPSHOTS=write in the environment the tests
write them anew; the differences are then to be read before they are committed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tests.support.checkpoints import Stored, of_array, write_file
from tests.support.screens import screen, shown

import sigmascope as ss
from sigmascope import report

SNAPSHOTS = Path(__file__).with_name("snapshots")
WIDTHS = {"80": 80, "160": 160, "pipe": 1_000_000}
SHAPES = {
    "self_attn.q_proj": (16, 24),
    "self_attn.k_proj": (8, 24),
    "mlp.up_proj": (32, 24),
    "mlp.experts.0.down_proj": (24, 32),
    "mlp.experts.1.down_proj": (24, 32),
}


def model(name: str, seed: int, change: int = 0) -> Path:
    """Write a model of small integers, whose singular values have the same digits everywhere."""
    rng, other = np.random.default_rng(seed), np.random.default_rng(1)
    tensors = [of_array("model.language_model.embed_tokens.weight", "F32", _integers(rng, 40, 24))]
    for layer in (0, 1, 10):
        at = f"model.language_model.layers.{layer}"
        for role, shape in SHAPES.items():
            w = _integers(rng, *shape)
            w[:2] += change * _integers(other, 2, shape[1])
            tensors.append(of_array(f"{at}.{role}.weight", "F32", w))
        tensors.append(of_array(f"{at}.input_layernorm.weight", "F32", _integers(rng, 1, 24)[0]))
    bad = np.full((4, 4), np.nan, np.float32)
    tensors += [of_array(f"broken.{i}", "F32", bad) for i in range(2)]
    tensors += [Stored(f"codes.{i}", "F4", (4, 4)) for i in range(6)]
    return write_file(Path(name), *tensors)


def _integers(rng: np.random.Generator, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype]:
    return rng.integers(-8, 9, shape).astype(np.float32)


Show = Callable[[Console], None]


def scan() -> Show:
    scanned = ss.scan(model("model.safetensors", 0), effort="exact", k=8)
    for row in scanned.rows:
        row["seconds"] = None if row["seconds"] is None else 0.01
    return lambda out: report.show_scan(out, scanned)


def comparison(include: str | None = None) -> Show:
    both = model("before.safetensors", 0), model("after.safetensors", 0, change=1)
    compared = ss.compare(*both, effort="exact", k=8, include=include)
    for row in compared.rows:
        row["seconds"] = None if row["seconds"] is None else 0.01
    return lambda out: report.show_comparison(out, compared)


def pairs() -> Show:
    return comparison("*self_attn*")


def info() -> Show:
    checkpoint = ss.open_checkpoint(model("model.safetensors", 0))
    return lambda out: report.show_info(out, checkpoint)


def every_tensor() -> Show:
    checkpoint = ss.open_checkpoint(model("model.safetensors", 0))
    return lambda out: report.show_info(out, checkpoint, every=True)


def plan() -> Show:
    planned = ss.scan(model("model.safetensors", 0), num_threads=2, memory_limit="1GiB", plan=True)
    fixed = [replace(t, peak_bytes=30 * 2**20, seconds=0.01, refused=None) for t in planned.tensors]
    for i in (0, 3):
        fixed[i] = replace(fixed[i], refused="2 GiB are needed; the limit is 1 GiB")
    rates = replace(planned.rates, float32=1e11, file=2e9, threads=2)
    planned = replace(planned, tensors=tuple(fixed), rates=rates, workers=2)
    return lambda out: report.show_plan(out, planned)


@pytest.fixture(scope="module", params=[scan, comparison, pairs, info, every_tensor, plan])
def subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Show]]:
    """The name of a result, which is made once, and a function that prints it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp(request.param.__name__))
        yield request.param.__name__, request.param()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_text_is_that_of_the_snapshot(subject: tuple[str, Show], width: str) -> None:
    name, show = subject
    out = screen(WIDTHS[width])
    show(out)
    text = "".join(line.rstrip() + "\n" for line in shown(out).splitlines())
    snapshot = SNAPSHOTS / f"{name}-{width}.txt"
    if os.environ.get("SIGMASCOPE_SNAPSHOTS") == "write":
        snapshot.write_text(text, encoding="utf-8")
    assert text == snapshot.read_text(encoding="utf-8")
