# SPDX-License-Identifier: BSD-3-Clause
"""Circuits of every family against explicit loops over heads in float64."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from tests.support import heads as oracle
from tests.support.checkpoints import Stored, of_array, opened
from tests.support.families import FAMILIES, Family
from tests.support.heads import Array, Heads

import sigmascope as ss
from sigmascope.adapters import Circuits, circuits_of
from sigmascope.checkpoint import Checkpoint

LLAMA, SELF = "model.layers.0", "model.layers.0.self_attn"
INPUT = f"{LLAMA}.input_layernorm.weight"
BLOCK = "transformer.h.0"
Oracle = Callable[[Mapping[str, Array]], Heads]


def _llama(o: str = "o_proj", offset: float = 0.0, norms: bool = False) -> Oracle:
    def heads(t: Mapping[str, Array]) -> Heads:
        one = oracle.gained(oracle.separate(t, SELF, o), t[INPUT] + offset)
        if not norms:
            return one
        gains = (t[f"{SELF}.{part}_norm.weight"] + offset for part in "qk")
        return oracle.normed(one, *gains)

    return heads


def _olmo2(t: Mapping[str, Array]) -> Heads:
    one = oracle.separate(t, SELF)
    return oracle.normed(one, t[f"{SELF}.q_norm.weight"], t[f"{SELF}.k_norm.weight"])


def _fused(
    cut: Callable[[Array, Array, int], Heads],
    names: tuple[str, str, str],
    keys: int,
    *,
    transposed: bool = False,
) -> Oracle:
    def heads(t: Mapping[str, Array]) -> Heads:
        qkv, o, norm = (t[f"{name}.weight"] for name in names)
        qkv, o = (qkv.T, o.T) if transposed else (qkv, o)
        return oracle.gained(cut(qkv, o, keys), norm)

    return heads


def _latent(*, low_rank_q: bool) -> Oracle:
    def heads(t: Mapping[str, Array]) -> Heads:
        return oracle.gained(oracle.latent(t, SELF, low_rank_q=low_rank_q), t[INPUT])

    return heads


def _apart(at: str, norm: str, o: str = "out_proj") -> Oracle:
    return lambda t: oracle.gained(oracle.separate(t, at, o), t[f"{norm}.weight"])


_FALCON = (f"{BLOCK}.self_attention.query_key_value", f"{BLOCK}.self_attention.dense")
_GPT2 = (f"{BLOCK}.attn.c_attn", f"{BLOCK}.attn.c_proj", f"{BLOCK}.ln_1")
_NEOX = "gpt_neox.layers.0"
_MPT = "transformer.blocks.0"
_DBRX = f"{_MPT}.norm_attn_norm"
_INTERN = "language_model.model.layers.0"
_OPT = "model.decoder.layers.0"

_PLAIN = "llama mistral mixtral qwen2 qwen2_moe gpt_oss starcoder2 stablelm granite"
_WITH_NORMS = "qwen3 qwen3_moe olmoe cohere"
ORACLES: dict[str, tuple[Oracle, str]] = {
    **dict.fromkeys(
        _PLAIN.split(),
        (_llama(), SELF),
    ),
    **dict.fromkeys(_WITH_NORMS.split(), (_llama(norms=True), SELF)),
    "gemma": (_llama(offset=1.0), SELF),
    "gemma2": (_llama(offset=1.0), SELF),
    "gemma3_text": (_llama(offset=1.0, norms=True), SELF),
    "phi": (_llama("dense"), SELF),
    "olmo2": (_olmo2, SELF),
    "phi3": (
        _fused(
            oracle.in_turn, (f"{SELF}.qkv_proj", f"{SELF}.o_proj", INPUT.removesuffix(".weight")), 2
        ),
        SELF,
    ),
    "gpt2": (_fused(oracle.in_turn, _GPT2, 4, transposed=True), f"{BLOCK}.attn"),
    "gpt_bigcode": (_fused(oracle.in_turn, _GPT2, 1), f"{BLOCK}.attn"),
    "gptj": (_apart(f"{BLOCK}.attn", f"{BLOCK}.ln_1"), f"{BLOCK}.attn"),
    "gpt_neo": (_apart(f"{BLOCK}.attn.attention", f"{BLOCK}.ln_1"), f"{BLOCK}.attn.attention"),
    "opt": (_apart(f"{_OPT}.self_attn", f"{_OPT}.self_attn_layer_norm"), f"{_OPT}.self_attn"),
    "bloom": (
        _fused(oracle.by_groups, (*_FALCON, f"{BLOCK}.input_layernorm"), 4),
        f"{BLOCK}.self_attention",
    ),
    "falcon": (
        _fused(oracle.by_groups, (*_FALCON, f"{BLOCK}.input_layernorm"), 1),
        f"{BLOCK}.self_attention",
    ),
    "falcon_new": (
        _fused(oracle.by_groups, (*_FALCON, f"{BLOCK}.ln_attn"), 2),
        f"{BLOCK}.self_attention",
    ),
    "gpt_neox": (
        _fused(
            oracle.by_groups,
            (
                f"{_NEOX}.attention.query_key_value",
                f"{_NEOX}.attention.dense",
                f"{_NEOX}.input_layernorm",
            ),
            4,
        ),
        f"{_NEOX}.attention",
    ),
    "mpt": (
        _fused(oracle.in_turn, (f"{_MPT}.attn.Wqkv", f"{_MPT}.attn.out_proj", f"{_MPT}.norm_1"), 4),
        f"{_MPT}.attn",
    ),
    "dbrx": (
        _fused(
            oracle.in_turn, (f"{_DBRX}.attn.Wqkv", f"{_DBRX}.attn.out_proj", f"{_DBRX}.norm_1"), 2
        ),
        f"{_DBRX}.attn",
    ),
    "internvl2, InternLM 2": (
        _fused(
            oracle.by_groups,
            (
                f"{_INTERN}.attention.wqkv",
                f"{_INTERN}.attention.wo",
                f"{_INTERN}.attention_norm",
            ),
            2,
        ),
        f"{_INTERN}.attention",
    ),
    "deepseek_v2": (_latent(low_rank_q=True), SELF),
    "deepseek_v3": (_latent(low_rank_q=True), SELF),
    "deepseek_v2_lite": (_latent(low_rank_q=False), SELF),
}


def arrays(family: Family) -> dict[str, Array]:
    """The tensors as the files hold them, in float64."""
    stored = {t.name: t for t in family.stored()}
    return {
        t.name: np.frombuffer(stored[t.name].bytes, "<f4").reshape(t.shape).astype(np.float64)
        for t in family.tensors
    }


def circuits(family: str, folder: Path) -> Circuits:
    return circuits_of(FAMILIES[family].opened(folder, circuits=True))


@pytest.mark.parametrize("family", ORACLES)
def test_circuits_are_those_of_a_loop_over_heads(family: str, tmp_path: Path) -> None:
    heads, module = ORACLES[family]
    mapping = circuits(family, tmp_path)
    names = [name for name in mapping if name.startswith(f"{module}[")]
    assert names == [f"{module}[{kind} {head}]" for kind in ("qk", "ov") for head in range(4)]
    qk, ov = heads(arrays(FAMILIES[family])).circuits()
    for name, dense in zip(names, [*qk, *ov], strict=True):
        product = mapping[name]
        B, A = (np.asarray(x) for x in (product.B, product.A))
        size = np.linalg.norm(dense, 2)
        np.testing.assert_allclose(B @ A, dense, rtol=0, atol=1e-14 * 32 * size)
        values = np.linalg.svd(dense, compute_uv=False)
        np.testing.assert_allclose(
            product.singular_values().values, values, rtol=0, atol=1e-12 * size
        )
        np.testing.assert_allclose(product.svd().s, values[:8], rtol=0, atol=1e-12 * size)
        outline = mapping.outline(name)
        assert outline.shape == product.shape == mapping.shape_of(name) == (32, 32)
        assert outline.rank == product.rank == 8


@pytest.mark.parametrize("family", FAMILIES)
def test_every_attention_weight_has_a_circuit_or_a_reason(family: str, tmp_path: Path) -> None:
    mapping = circuits(family, tmp_path)
    checkpoint = mapping.checkpoint
    used = set()
    for name in mapping:
        assert np.isfinite(np.asarray(mapping[name].B)).all()
        circuit = mapping._circuits[name]
        parts = (*circuit.left.names, *circuit.right.names)
        used |= {checkpoint.view_of(part).tensor for part in parts}
    parts = ("q", "k", "v", "o", "qkv", "q_a", "q_b", "kv_a", "kv_b")
    roles = {f"{place}{part}" for place in ("", "cross_", "pool_", "global_") for part in parts}
    attention = {t.name for t in FAMILIES[family].tensors if t.role in roles}
    lost = {name for name in attention - used if name not in mapping.unreadable}
    assert lost == set()
    assert all(mapping.unreadable.values())


def test_rows_beyond_a_block_have_the_same_values() -> None:
    rng = np.random.default_rng(0)
    config = {"model_type": "llama", "hidden_size": 1300, "num_attention_heads": 2, "head_dim": 16}
    names = {part: f"{SELF}.{part}_proj.weight" for part in "qkvo"}
    tensors = {name: rng.standard_normal((32, 1300)) for name in names.values()}
    tensors[names["o"]] = tensors[names["o"]].T.copy()

    class Model:
        """A module with a configuration."""

        class config:  # noqa: N801 - as transformers calls it
            @staticmethod
            def to_dict() -> dict[str, object]:
                return config

        def state_dict(self) -> dict[str, Array]:
            return tensors

    mapping = circuits_of(ss.open_checkpoint(Model(), circuits=True))
    assert mapping.in_memory
    for head in range(2):
        at = slice(16 * head, 16 * head + 16)
        dense = tensors[names["q"]][at].T @ tensors[names["k"]][at]
        values = np.linalg.svd(dense, compute_uv=False)
        result = mapping[f"{SELF}[qk {head}]"].singular_values()
        np.testing.assert_allclose(result.values, values, rtol=0, atol=1e-12 * values[0])
        assert np.all(np.abs(result.values - values) <= result.errors + 1e-13 * values[0])


def logits(family: str, folder: Path, head: int) -> tuple[float, Circuits, str]:
    mapping = circuits(family, folder)
    name = f"{SELF}[qk {head}]"
    return float(np.asarray(mapping[name].singular_values().values)[0]), mapping, name


def test_a_logit_is_within_its_bound(tmp_path: Path) -> None:
    norm, mapping, name = logits("llama", tmp_path, 1)
    bound = mapping.logit_bound(name)
    assert bound is not None
    assert bound.same_position == pytest.approx(norm * 32 / math.sqrt(8), rel=1e-12)
    product = mapping[name]
    B, A = (np.asarray(x) for x in (product.B, product.A))
    U, V = (np.linalg.svd(B @ A)[i] for i in (0, 2))
    x, y = math.sqrt(32) * U[:, 0], math.sqrt(32) * V[0]  # of root mean square 1
    assert x @ B @ A @ y / math.sqrt(8) == pytest.approx(bound.same_position, rel=1e-12)
    for distance in range(1, 20):
        angles = distance / 10000 ** (np.arange(4) / 4)
        turn = np.block(
            [
                [np.diag(np.cos(angles)), -np.diag(np.sin(angles))],
                [np.diag(np.sin(angles)), np.diag(np.cos(angles))],
            ]
        )
        most = np.linalg.norm(B @ turn @ A, 2) * 32 / math.sqrt(8)
        assert most <= bound.any_positions * (1 + 1e-12)


def test_norms_of_q_and_k_bound_logits(tmp_path: Path) -> None:
    _, mapping, name = logits("qwen3", tmp_path, 0)
    bound = mapping.logit_bound(name)
    assert bound is not None
    t = arrays(FAMILIES["qwen3"])
    q, k = (t[f"{SELF}.{part}_norm.weight"] for part in "qk")
    assert bound.same_position == pytest.approx(math.sqrt(8) * np.abs(q * k).max())
    largest = (np.abs(x).reshape(2, 4).max(axis=0) for x in (q, k))  # of components j and j + 4
    assert bound.any_positions == pytest.approx(math.sqrt(8) * math.prod(largest).max())


@pytest.mark.parametrize("family", ["deepseek_v3", "bert"])
def test_a_bound_that_is_not_known_is_absent(family: str, tmp_path: Path) -> None:
    mapping = circuits(family, tmp_path)
    name = next(name for name in mapping if "[qk" in name)
    assert mapping.logit_bound(name) is None


def test_values_have_no_logits(tmp_path: Path) -> None:
    mapping = circuits("llama", tmp_path)
    with pytest.raises(ValueError, match=r"has no logits: its role is 'ov', not 'qk'"):
        mapping.logit_bound(f"{SELF}[ov 0]")


def llama_with(folder: Path, change: Mapping[str, object], *without: str) -> Circuits:
    """A small llama with other settings, and without some tensors."""
    family = FAMILIES["llama"]
    tensors: list[Stored] = [t for t in family.stored() if not t.name.endswith(without or ("?",))]
    opened(folder, *tensors, config={**family.config, **change})
    return circuits_of(ss.open_checkpoint(folder, circuits=True))


@pytest.mark.parametrize(
    ("change", "without", "lost", "reason"),
    [
        ({"num_attention_heads": 3}, (), "q_proj", "3 heads of 8 by config.json do not fit 32"),
        ({"num_attention_heads": None}, (), "q_proj", "config.json gives no number of heads"),
        ({}, ("k_proj.weight",), "q_proj", f"{SELF} has no k that is cut into heads"),
        ({}, ("o_proj.weight",), "v_proj", f"{SELF} has no o that is cut into heads"),
        ({}, ("v_proj.weight",), "o_proj", f"{SELF} has no v that is cut into heads"),
    ],
)
def test_weights_without_a_circuit_have_the_reason(
    change: dict[str, object], without: tuple[str, ...], lost: str, reason: str, tmp_path: Path
) -> None:
    mapping = llama_with(tmp_path, change, *without)
    assert mapping.unreadable[f"{SELF}.{lost}.weight"].startswith(reason)
    record = next(r for r in mapping.info() if r["name"] == f"{SELF}.{lost}.weight")
    assert (record["status"], record["matrices"]) == ("unreadable", ())
    with pytest.raises(KeyError, match=r"do not fit|no number|cut into heads"):
        mapping[f"{SELF}.{lost}.weight"]


def test_heads_that_cannot_share_keys_have_the_reason(tmp_path: Path) -> None:
    change = {"num_attention_heads": 8, "head_dim": 4, "num_key_value_heads": 4}
    rng = np.random.default_rng(0)
    family = FAMILIES["llama"]
    shapes = {"q_proj": (24, 32), "k_proj": (16, 32), "v_proj": (16, 32), "o_proj": (32, 24)}
    tensors = {f"{SELF}.{part}.weight": rng.standard_normal(s) for part, s in shapes.items()}
    config = {**family.config, **change, "num_attention_heads": 6}
    stored = [of_array(name, "F32", x.astype(np.float32)) for name, x in tensors.items()]
    opened(tmp_path, *stored, config=config)
    mapping = circuits_of(ss.open_checkpoint(tmp_path, circuits=True))
    assert len(mapping) == 0
    reasons = set(mapping.unreadable.values())
    assert reasons == {f"6 heads cannot share 4 heads of {part} equally" for part in "kv"}


def test_a_checkpoint_is_opened_for_circuits(tmp_path: Path) -> None:
    checkpoint = FAMILIES["llama"].opened(tmp_path)
    with pytest.raises(ValueError, match="was opened without circuits=True"):
        circuits_of(checkpoint)
    with pytest.raises(ValueError, match="request one of them"):
        ss.open_checkpoint(tmp_path, heads=True, circuits=True)
    mapping = circuits("llama", tmp_path)
    with pytest.raises(KeyError, match=r"self_attn\[qk 9\]' is not in"):
        mapping[f"{SELF}[qk 9]"]
    again = pickle.loads(pickle.dumps(mapping))
    assert isinstance(again.checkpoint, Checkpoint)
    assert list(again) == list(mapping)
    product = mapping[f"{SELF}[qk 0]"]
    copy = pickle.loads(pickle.dumps(product))
    np.testing.assert_array_equal(np.asarray(copy.B), np.asarray(product.B))
    assert "8 of 1 modules" in repr(mapping)


def test_a_norm_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    family = FAMILIES["llama"]
    tensors = [t for t in family.stored() if t.name != INPUT]
    opened(tmp_path, *tensors, Stored(INPUT, "F32", (31,)), config=family.config)
    mapping = circuits_of(ss.open_checkpoint(tmp_path, circuits=True))
    with pytest.raises(ss.errors.CheckpointError, match="31 gains do not fit 32 numbers"):
        mapping[f"{SELF}[qk 0]"]


def test_the_view_says_what_is_included(tmp_path: Path) -> None:
    record = circuits("qwen3", tmp_path).record_of(f"{SELF}[qk 3]")
    assert record["view"] == (
        f"W_q^T W_k of head 3, k of head 1; gains of {INPUT} included; biases not included; "
        "rotary embedding at distance 0; gains of q_norm and k_norm included"
    )
    assert json.loads(json.dumps(record["shape"])) == [32, 32]
    assert (record["role"], record["layer"], record["head"]) == ("qk", 0, 3)
