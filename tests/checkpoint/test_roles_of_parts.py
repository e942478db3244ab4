# SPDX-License-Identifier: BSD-3-Clause
"""Roles of quantised weights: codes have that of the matrix, scales say that they are scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.checkpoint.test_quantised import LAYOUTS
from tests.support import group_formats as formats
from tests.support.checkpoints import Stored, encoded, of_array, opened, record
from tests.support.roles import roles_in_model

import sigmascope as ss
from sigmascope.checkpoint.naming.roles import role_of

Q = "model.layers.3.self_attn.q_proj"

# What each end of a name holds; those of one line are of one weight.
ENDS = """
.weight_scale_inv scale | .input_scale input_scale
.weight_scale scale | .weight_scale_2 global_scale | .input_scale input_scale
.scale_weight scale
.scale scale
.qweight - | .scales scale | .qzeros zero_point | .g_idx group_index
.weight_packed - | .weight_scale scale | .weight_shape shape | .weight_zero_point zero_point
.weight_packed - | .weight_global_scale global_scale | .input_global_scale input_scale
.weight_packed - | .weight_g_idx group_index
.weight.absmax scale | .weight.quant_map table | .weight.nested_absmax global_scale
.weight.nested_quant_map scale_table | .weight.quant_state.bitsandbytes__nf4 settings
.SCB scale | .weight_format format
._weight_qdata - | ._weight_scale scale | ._weight_zero_point zero_point
.q_weight - | .q_scale scale | .q_scale_max global_scale | .q_groups group_index
.codes - | .codebooks table | .scales scale
.W_q - | .scale scale | .zero zero_point
.weight - | .scales scale | .biases offset
_blocks - | _scales scale
.weight - | .weight_scales scale
"""


@pytest.mark.parametrize("line", ENDS.strip().splitlines())
def test_names_alone_say_what_a_part_holds(line: str) -> None:
    cells = [cell.split() for cell in line.split("|")]
    roles = roles_in_model(Q + end for end, _ in cells)
    for end, part in cells:
        wanted = "q" if part == "-" else f"q.{part}"
        assert (roles[Q + end].layer, roles[Q + end].role) == (3, wanted)
        assert role_of(Q + end).role == wanted


RNG = np.random.default_rng(0)
DECODED: dict[str, tuple[dict[str, Any], list[Stored], dict[str, str]]] = {
    "GPTQ": (
        {"quant_method": "gptq", "bits": 4, "group_size": 32},
        formats.gptq(RNG, (96, 96), 4, 32, act_order=True)[0],
        {"qzeros": "zero_point", "scales": "scale", "g_idx": "group_index"},
    ),
    "AWQ": (
        {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"},
        formats.awq(RNG, (96, 96), 32)[0],
        {"qzeros": "zero_point", "scales": "scale"},
    ),
    "bitsandbytes": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        formats.bitsandbytes(RNG, (32, 64), 64, nested=True)[0],
        {
            "weight.quant_map": "table",
            "weight.absmax": "scale",
            "weight.nested_absmax": "global_scale",
            "weight.nested_quant_map": "scale_table",
            "weight.quant_state.bitsandbytes__nf4": "settings",
        },
    ),
}


@pytest.mark.parametrize("layout", DECODED)
def test_a_decoded_weight_has_its_role_and_its_parts_theirs(layout: str, tmp_path: Path) -> None:
    config, tensors, parts = DECODED[layout]
    checkpoint = opened(tmp_path, *tensors, config={"quantization_config": config})
    assert [checkpoint.roles[name].role for name in checkpoint] == ["q"], checkpoint.unreadable
    for row in checkpoint.info():
        end = row["name"].removeprefix("q_proj.")
        assert row["role"] == (f"q.{parts[end]}" if end in parts else "q"), end


@pytest.mark.parametrize("layout", LAYOUTS)
def test_so_have_those_that_are_not_decoded(layout: str, tmp_path: Path) -> None:
    names = {"q": "self_attn.q_proj", "experts": "mlp.experts"}
    tensors = []
    for name, dtype, shape, _ in LAYOUTS[layout]:
        start, _, end = name.partition(".")
        tensors.append(Stored(f"model.layers.0.{names[start]}.{end}", dtype, shape))
    checkpoint = opened(tmp_path, *tensors)
    role = "down" if layout == "MXFP4" else "q"
    codes, *others = (record(checkpoint, tensor.name) for tensor in tensors)
    assert codes["role"] == role
    assert {other["role"].partition(".")[0] for other in others} == {role}
    assert all(other["role"].endswith(".scale") == (other["status"] == "scale") for other in others)


def test_parts_of_a_matrix_without_a_role_have_none_either(tmp_path: Path) -> None:
    tensors = [Stored("foo.weight", "F8_E4M3", (4, 8)), Stored("foo.weight_scale", "F32", (4, 1))]
    checkpoint = opened(tmp_path, *tensors)
    assert [row["role"] for row in checkpoint.info()] == ["other", "other"]


def test_fp8_with_a_scale_is_paired_and_its_scale_is_called_so(tmp_path: Path) -> None:
    """Stored names of the two, and roles that a table shows for them."""
    codes = Stored(f"{Q}.weight", "F8_E4M3", (4, 8))
    path = tmp_path / "model.safetensors"
    for end in ("weight_scale", "weight_scale_inv", "scale_weight"):
        scale = of_array(f"{Q}.{end}", "F32", np.ones((1, 1), np.float32))
        path.write_bytes(encoded([codes, scale]))
        rows = ss.scan(path, effort="top", k=1, num_threads=1).rows
        assert [(row["role"], row["kind"]) for row in rows] == [
            ("q", "matrix"),
            ("q.scale", "scale"),
        ]
