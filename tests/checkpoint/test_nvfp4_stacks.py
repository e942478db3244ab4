# SPDX-License-Identifier: BSD-3-Clause
"""Stacks of experts in NVFP4 of modelopt: packed along inputs, whichever axis these are."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.checkpoints import Stored, opened, record
from tests.support.group_formats import E2M1, stored

EXPERTS, OUTPUTS, INPUTS = 3, 10, 48
CONFIG = {"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}
STEM = "model.layers.0.feed_forward.experts.down_proj"


def stack(per_expert: bool, down: bool) -> tuple[list[Stored], NDArray[np.float32]]:
    """Return the tensors of a stack, and its numbers (experts, outputs, inputs)."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 16, (EXPERTS, OUTPUTS, INPUTS))
    small = rng.uniform(0.1, 400, (EXPERTS, OUTPUTS, INPUTS // 16)).astype(ml_dtypes.float8_e4m3fn)
    factors = rng.uniform(0.001, 3, EXPERTS if per_expert else 1).astype(np.float32)
    numbers = np.where(codes > 7, -E2M1[codes & 7], E2M1[codes & 7]).astype(np.float32)
    grid = small.astype(np.float32) * factors[:, None, None]
    packed = (codes[..., ::2] | codes[..., 1::2] << 4).astype(np.uint8)
    parts = [
        np.ascontiguousarray(each.swapaxes(1, 2)) if down else each for each in (packed, small)
    ]
    tensors = [
        stored(STEM, parts[0]),
        stored(f"{STEM}_weight_scale", parts[1]),
        stored(f"{STEM}_weight_scale_2", factors if per_expert else factors.reshape(())),
        stored(f"{STEM}_input_scale", np.ones(1, np.float32)),
    ]
    return tensors, numbers * grid.repeat(16, axis=2)


@pytest.mark.parametrize("per_expert", [False, True])
@pytest.mark.parametrize("down", [False, True])
def test_every_expert_is_a_matrix(per_expert: bool, down: bool, tmp_path: Path) -> None:
    tensors, wanted = stack(per_expert, down)
    checkpoint = opened(tmp_path, *tensors, config=CONFIG)
    assert list(checkpoint) == [f"{STEM}[{i}]" for i in range(EXPERTS)], checkpoint.unreadable
    for index, name in enumerate(checkpoint):
        matrix: Any = checkpoint[name]
        known = wanted[index].T if down else wanted[index]
        assert np.asarray(matrix).tobytes() == np.ascontiguousarray(known).tobytes()
        again = pickle.loads(pickle.dumps(matrix[1::3, 3:]))
        np.testing.assert_array_equal(np.asarray(again), known[1::3, 3:])
    statuses = [record(checkpoint, tensor.name)["status"] for tensor in tensors]
    assert statuses == ["stack", "scale", "scale", "part"]


def test_stacks_that_do_not_fit_are_named(tmp_path: Path) -> None:
    tensors, _ = stack(False, False)
    tensors[1] = Stored(f"{STEM}_weight_scale", "F8_E4M3", (EXPERTS, OUTPUTS, 2))
    checkpoint = opened(tmp_path, *tensors, config=CONFIG)
    assert list(checkpoint) == []
    why = "has shape [3, 10, 2], where [3, 10, 3] or [3, 2, 24] would fit the codes"
    assert why in record(checkpoint, STEM)["reason"]
    assert record(checkpoint, f"{STEM}_weight_scale")["status"] == "scale"
