# SPDX-License-Identifier: BSD-3-Clause
"""Codes in groups to float32: numbers decoded per second, on one thread.

The peer decodes as many numbers of Q4_0, a layout of its own with 4.5 bits each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from peers_of_kernels import OURS, Peer

import sigmascope as ss

GROUP = 128
NF4 = np.linspace(-1, 1, 16) ** 3


def gptq(rng: np.random.Generator, m: int, n: int) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Return tensors of a weight (m, n), the configuration, and its numbers."""
    words = rng.integers(0, 1 << 32, (n // 8, m), np.uint32)
    zeros = rng.integers(0, 1 << 32, (n // GROUP, m // 8), np.uint32)
    scales = rng.uniform(0.1, 1, (n // GROUP, m)).astype(np.float16)
    shifts = np.arange(0, 32, 4, dtype=np.uint32)
    codes = (words[:, None, :] >> shifts[None, :, None] & 15).reshape(n, m)
    offsets = ((zeros[:, :, None] >> shifts & 15) + 1 & 15).reshape(-1, m)
    wide = [each.astype(np.float32).repeat(GROUP, axis=0) for each in (offsets, scales)]
    tensors = {"qweight": words.view(np.int32), "qzeros": zeros.view(np.int32), "scales": scales}
    how = {"quant_method": "gptq", "bits": 4, "group_size": GROUP}
    return tensors, how, ((codes.astype(np.float32) - wide[0]) * wide[1]).T


def compressed(
    rng: np.random.Generator, m: int, n: int
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    words = rng.integers(0, 1 << 32, (m, n // 8), np.uint32)
    scales = rng.uniform(0.1, 1, (m, n // GROUP)).astype(np.float16)
    shifts = np.arange(0, 32, 4, dtype=np.uint32)
    codes = (words[:, :, None] >> shifts & 15).reshape(m, n)
    tensors = {"weight_packed": words.view(np.int32), "weight_scale": scales}
    tensors["weight_shape"] = np.array([m, n])
    weights = {"num_bits": 4, "type": "int", "symmetric": True}
    weights |= {"strategy": "group", "group_size": GROUP}
    how = {"quant_method": "compressed-tensors", "format": "pack-quantized"}
    how |= {"config_groups": {"group_0": {"weights": weights}}}
    wide = scales.astype(np.float32).repeat(GROUP, axis=1)
    return tensors, how, (codes.astype(np.float32) - 8) * wide


def bitsandbytes(
    rng: np.random.Generator, m: int, n: int
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    stored = rng.integers(0, 256, (m * n // 2, 1), np.uint8)
    scales = rng.uniform(0.1, 1, m * n // 64).astype(np.float32)
    state = {"blocksize": 64, "shape": [m, n], "dtype": "float16", "quant_type": "nf4"}
    table = NF4.astype(np.float32)
    tensors: dict[str, Any] = {"weight": stored, "weight.absmax": scales, "weight.quant_map": table}
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    tensors["weight.quant_state.bitsandbytes__nf4"] = text
    codes = np.stack([stored >> 4, stored & 15], axis=-1).reshape(m, n)
    wide = scales.repeat(64).reshape(m, n)
    return tensors, {"quant_method": "bitsandbytes"}, table[codes] * wide


LAYOUTS = {"GPTQ": gptq, "compressed-tensors": compressed, "bitsandbytes NF4": bitsandbytes}


def ours(weight: Any, _: Mapping[str, Any]) -> ss.Matrix:
    """Read the scales, and decode a file whose pages the system holds, on the calling thread."""
    return weight().load()


def theirs(_: Any, blocks: Mapping[str, Any]) -> NDArray[np.float32]:
    import gguf

    return gguf.dequantize(blocks["q4_0"], gguf.GGMLQuantizationType.Q4_0)


PEERS = (Peer(OURS, "sigmascope", ours), Peer("gguf, Q4_0", "gguf", theirs))


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_groups(layout: str, peer: Peer, smoke: bool, measure: Any, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    m, n = (64, 512) if smoke else (4096, 8192)
    rng = np.random.default_rng(0)
    tensors, how, wanted = LAYOUTS[layout](rng, m, n)
    stored = {f"q.{name}": np.ascontiguousarray(x) for name, x in tensors.items()}
    save_file(stored, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": how}))
    checkpoint = ss.open_checkpoint(tmp_path)
    blocks = {"q4_0": rng.integers(0, 0x3C, (m, n // 32 * 18), np.uint8)}
    decoded = measure(
        lambda: peer.run(lambda: checkpoint["q.weight"], blocks),
        table="groups",
        case={"layout": layout, "shape": f"{m} x {n}"},
        peer=peer,
        rounds=10,
        work=m * n,
        unit="Gnumbers/s",
    )
    assert np.asarray(decoded).shape == (m, n)
    if peer.name == OURS:
        np.testing.assert_array_equal(np.asarray(decoded), wanted)
