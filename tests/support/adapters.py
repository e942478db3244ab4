# SPDX-License-Identifier: BSD-3-Clause
"""Adapter folders as PEFT (0.21) saves them, written by hand, and what they change, in NumPy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.support.checkpoints import of_array, write_file

import sigmascope as ss

Array = NDArray[Any]

PREFIX = "base_model.model."
Q = "model.layers.0.self_attn.q_proj"
DOWN = "model.layers.1.mlp.down_proj"

SETTINGS: dict[str, Any] = {
    "peft_type": "LORA",
    "base_model_name_or_path": "the/base",
    "r": 4,
    "lora_alpha": 8,
    "rank_pattern": {},
    "alpha_pattern": {},
    "fan_in_fan_out": False,
    "use_rslora": False,
    "use_dora": False,
    "modules_to_save": None,
    "target_modules": ["q_proj"],
    "target_parameters": None,
    "init_lora_weights": True,
    "layer_replication": None,
}


def factors(m: int, n: int, r: int = 4, seed: int = 0) -> tuple[Array, Array]:
    """B (m, r) and A (r, n) of a linear layer n -> m."""
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((m, r)).astype(np.float32),
        rng.standard_normal((r, n)).astype(np.float32),
    )


def lora(module: str, B: Array, A: Array) -> dict[str, Array]:
    """The two tensors of one adapted layer."""
    return {f"{module}.lora_A.weight": A, f"{module}.lora_B.weight": B}


def write_adapter(folder: Path, tensors: Mapping[str, Array], **settings: Any) -> Path:
    """An adapter folder; `settings` replace those of SETTINGS, None takes one away."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {"float32": "F32", "float64": "F64", "bfloat16": "BF16", "float16": "F16"}
    kinds["float8_e4m3fn"] = "F8_E4M3"
    write_file(
        folder / "adapter_model.safetensors",
        *(of_array(PREFIX + name, kinds[str(x.dtype)], x) for name, x in tensors.items()),
    )
    (folder / "adapter_config.json").write_text(json.dumps(SETTINGS | settings))
    return folder


def dense(product: ss.LowRank) -> np.ndarray[Any, Any]:
    return np.asarray(product.matrix(), dtype=np.float64)


def assert_close(result: Any, truth: Any) -> None:
    np.testing.assert_allclose(result, truth, rtol=1e-5, atol=1e-5)
