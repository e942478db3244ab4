# SPDX-License-Identifier: BSD-3-Clause
"""Circuits of one model in several formats: as torch stores it, llama.cpp, flax, and with one head.

llama.cpp permutes the rows of q and k, flax stores kernels with inputs as rows, and the Gemma
package has an axis for heads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.families import FAMILIES
from tests.support.flax_files import packed
from tests.support.gguf_models import converted, weights, write_original
from tests.support.heads import separate

import sigmascope as ss
from sigmascope.adapters import Circuits, circuits_of

Array = NDArray[Any]
SELF = "model.layers.0.self_attn"


def opened(path: Path) -> Circuits:
    return circuits_of(ss.open_checkpoint(path, circuits=True))


def by_role(mapping: Circuits) -> dict[tuple[int | None, str, int | None], str]:
    return {(r.layer, r.role, r.head): n for n, r in mapping.roles.items()}


def assert_same(one: Circuits, two: Circuits, count: int) -> None:
    """Compare products, planes and bounds of circuits with the same role."""
    names, others = by_role(one), by_role(two)
    assert names.keys() == others.keys()
    assert len(names) == count
    for key, name in names.items():
        first, second = (np.asarray(x.B) @ np.asarray(x.A) for x in (one[name], two[others[key]]))
        np.testing.assert_allclose(second, first, rtol=0, atol=1e-13 * np.abs(first).max())
        if key[1] == "qk":
            planes, others_planes = one.planes(name), two.planes(others[key])
            assert planes is not None
            assert others_planes is not None
            np.testing.assert_array_equal(others_planes.rows, planes.rows)
            np.testing.assert_allclose(
                others_planes.any_positions, planes.any_positions, rtol=1e-12
            )
            bounds = one.logit_bound(name), two.logit_bound(others[key])
            assert bounds[0] == pytest.approx(bounds[1], rel=1e-9)


def test_gguf_files_have_the_circuits_of_the_original(tmp_path: Path) -> None:
    tensors = weights()
    original = opened(write_original(tmp_path, tensors))
    assert_same(original, opened(converted(tmp_path / "x.gguf", tensors, "F32")), count=32)


def test_an_order_that_is_not_known_gives_no_planes(tmp_path: Path) -> None:
    """This version does not know the order of `mistral3` in llama.cpp."""
    path = converted(tmp_path / "x.gguf", weights(1), "F32", architecture="mistral3")
    mapping = opened(path)
    assert mapping.planes(by_role(mapping)[0, "qk", 0]) is None


def with_metadata(path: Path, **more: Any) -> Circuits:
    """A file of one Llama layer with further metadata."""
    original = gguf.GGUFWriter.write_header_to_file

    def header(writer: gguf.GGUFWriter, *arguments: Any) -> None:
        for key, value in more.items():
            kinds: dict[type, Any] = {
                str: writer.add_string,
                int: writer.add_uint32,
                float: writer.add_float32,
            }
            kinds[type(value)](f"llama.{key.replace('__', '.')}", value)
        original(writer, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf.GGUFWriter, "write_header_to_file", header)
        converted(path, weights(1), "F32")
    return opened(path)


def test_metadata_of_gguf_scale_logits_and_rotate_parts(tmp_path: Path) -> None:
    usual = with_metadata(tmp_path / "usual.gguf")
    name = by_role(usual)[0, "qk", 0]
    bound = usual.logit_bound(name)
    assert bound is not None
    scaled = with_metadata(tmp_path / "scaled.gguf", attention__scale=0.5).logit_bound(name)
    assert scaled == pytest.approx([x * 0.5 * np.sqrt(32) for x in bound], rel=1e-12)
    mapping = with_metadata(tmp_path / "yarn.gguf", rope__scaling__type="yarn")
    assert mapping.logit_bound(name) is None
    planes = with_metadata(tmp_path / "part.gguf", rope__dimension_count=16).planes(name)
    assert planes is not None
    assert planes.rows.tolist() == [[row, row + 8] for row in range(8)]


def as_tree(tensors: dict[str, Array]) -> dict[str, Any]:
    """Nested names of flax, with kernels whose rows are inputs."""
    tree: dict[str, Any] = {}
    for name, array in tensors.items():
        *parts, last = name.split(".")
        place = tree
        for part in parts:
            place = place.setdefault(part, {})
        if "embed" in name:
            place["embedding"] = array
        elif array.ndim == 2:
            place["kernel"] = array.T.copy()
        else:
            place[last] = array
    return tree


def test_flax_files_have_the_circuits_of_torchs(tmp_path: Path) -> None:
    family = FAMILIES["llama"]
    family.opened(tmp_path / "torch")
    torchs = opened(tmp_path / "torch")
    stored = {t.name: np.frombuffer(t.bytes, "<f4") for t in family.stored()}
    tensors = {t.name: stored[t.name].reshape(t.shape) for t in family.tensors}
    flax = tmp_path / "flax"
    flax.mkdir()
    (flax / "flax_model.msgpack").write_bytes(packed(as_tree(tensors)))
    (flax / "config.json").write_text(json.dumps(family.config))
    mapping = opened(flax)
    assert_same(torchs, mapping, count=8)
    assert next(iter(mapping)) == "model/layers/0/self_attn[qk 0]"


class Model:
    """Arrays with the settings of their model."""

    def __init__(self, tensors: dict[str, Array], settings: dict[str, Any]) -> None:
        class Configuration:
            @staticmethod
            def to_dict() -> dict[str, Any]:
                return settings

        self.tensors, self.config = tensors, Configuration

    def state_dict(self) -> dict[str, Array]:
        return self.tensors

    def circuits(self) -> Circuits:
        return circuits_of(ss.open_checkpoint(self, circuits=True))


GEMMA = {
    "model_type": "gemma",
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "hidden_size": 20,
}


@pytest.mark.parametrize("keys", [1, 2])
def test_kernels_with_an_axis_of_heads(keys: int) -> None:
    """The equations of the Gemma package are BTD,NDH->BTNH, BSD,CKDH->CBSKH and BTNH,NHD->BTD."""
    rng = np.random.default_rng(0)
    q, kv = rng.standard_normal((4, 20, 8)), rng.standard_normal((2, keys, 20, 8))
    o, gain = rng.standard_normal((4, 8, 20)), rng.standard_normal(20)
    stem = "transformer/layer_0"
    arrays = {
        f"{stem}/attn/q_einsum.w": q,
        f"{stem}/attn/kv_einsum.w": kv,
        f"{stem}/attn/attn_vec_einsum.w": o,
        f"{stem}/pre_attention_norm.scale": gain,
    }
    mapping = Model(arrays, GEMMA | {"num_key_value_heads": keys}).circuits()
    names = by_role(mapping)
    assert len(names) == 8
    folded = np.diag(1 + gain)
    for head in range(4):
        group = head * keys // 4
        dense = {
            "qk": folded @ q[head] @ kv[0, group].T @ folded,
            "ov": o[head].T @ kv[1, group].T @ folded,
        }
        for role, wanted in dense.items():
            product = mapping[names[0, role, head]]
            ours = np.asarray(product.B) @ np.asarray(product.A)
            np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-13 * np.abs(wanted).max())


@pytest.mark.parametrize("heads", [(1, 1), (4, 1)])
def test_a_single_head_is_a_head(heads: tuple[int, int]) -> None:
    """Gemma of 2 billion parameters has one head of keys."""
    rng = np.random.default_rng(0)
    count, keys = heads
    rows = {"q": 8 * count, "k": 8 * keys, "v": 8 * keys}
    tensors = {
        f"{SELF}.{part}_proj.weight": rng.standard_normal((m, 20)) for part, m in rows.items()
    }
    tensors[f"{SELF}.o_proj.weight"] = rng.standard_normal((20, 8 * count))
    settings = {"num_attention_heads": count, "num_key_value_heads": keys}
    mapping = Model(tensors, GEMMA | settings).circuits()
    qk, ov = separate(tensors, SELF).circuits()
    assert len(mapping) == 2 * count
    for head in range(count):
        for role, dense in (("qk", qk[head]), ("ov", ov[head])):
            product = mapping[f"{SELF}[{role} {head}]"]
            np.testing.assert_allclose(np.asarray(product.B) @ np.asarray(product.A), dense)
