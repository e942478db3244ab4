# SPDX-License-Identifier: BSD-3-Clause
"""Circuits against the attention logits that the models of Transformers compute themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.attention_models import (
    LAYERS,
    MODELS,
    TOKENS,
    WIDTH,
    Attention,
    attention_of,
    write_model,
)

import sigmascope as ss
from sigmascope.adapters import Circuits, RotaryPlanes, circuits_of

Array = np.ndarray[Any, np.dtype[np.float64]]
HEADS = 4
NORMS = {
    "gpt2": "ln_1",
    "gpt_bigcode": "ln_1",
    "gptj": "ln_1",
    "gpt_neo": "ln_1",
    "opt": "self_attn_layer_norm",
    "mpt": "norm_1",
    "falcon": "ln_attn",
    "olmo2": "self_attn",  # which has no norm before it
}
"""Norms before attention; in the other models input_layernorm."""
PAST = np.tril(np.ones((TOKENS, TOKENS), dtype=bool))
ADDED = ("bloom", "mpt", "gpt_oss")
"""Models that add a multiple of the key's position, or a number of the query, to logits."""


def rotated(rows: Array, planes: RotaryPlanes) -> Array:
    """Turn every plane of column t, a token's q or k, by t times its frequency."""
    result, times = rows.copy(), np.arange(rows.shape[1])
    assert planes.frequencies is not None
    for (one, two), frequency in zip(planes.rows, planes.frequencies, strict=True):
        c, s = np.cos(times * frequency), np.sin(times * frequency)
        result[one] = c * rows[one] - s * rows[two]
        result[two] = s * rows[one] + c * rows[two]
    return result


def normalised(rows: list[Array], gains: Array) -> list[Array]:
    """Divide q or k of all heads by its root mean square without gains: of a head or of all."""
    gains = np.ravel(gains)
    width = len(rows[0])
    each = [gains if len(gains) == width else gains[i * width :][:width] for i in range(len(rows))]
    plain = [row / gain[:, None] for row, gain in zip(rows, each, strict=True)]
    if len(gains) == width:
        sizes = [np.sqrt(np.mean(row**2, axis=0)) for row in plain]
    else:
        sizes = [np.sqrt(np.mean(np.concatenate(plain) ** 2, axis=0))] * len(rows)
    return [row / size for row, size in zip(rows, sizes, strict=True)]


def through_latent(tensors: Mapping[str, Array], x: Array, q: list[Array], k: list[Array]) -> None:
    """Divide in place by the norms of the latent vectors, which circuits leave out."""
    x = x * tensors["input_layernorm.weight"]
    of_q = np.sqrt(np.mean((x @ tensors["self_attn.q_a_proj.weight"].T) ** 2, axis=1))
    latent = (x @ tensors["self_attn.kv_a_proj_with_mqa.weight"].T)[:, :8]
    for head in range(HEADS):
        q[head] = q[head] / of_q
        k[head] = k[head].copy()
        k[head][:4] /= np.sqrt(np.mean(latent**2, axis=1))


def heads(mapping: Circuits, layer: int, x: Array, tensors: Mapping[str, Array]) -> list[Array]:
    """Return the logits of a layer's heads by its circuits, without the scale."""
    names = [n for n, r in mapping.roles.items() if (r.layer, r.role) == (layer, "qk")]
    assert len(names) == HEADS
    products = [mapping[name] for name in names]
    q, k = [np.asarray(p.B).T @ x.T for p in products], [np.asarray(p.A) @ x.T for p in products]
    if "self_attn.kv_b_proj.weight" in tensors:
        through_latent(tensors, x, q, k)
    if "self_attn.q_norm.weight" in tensors:
        offset = 1.0 if str(mapping.architecture).startswith("Gemma") else 0.0
        q = normalised(q, tensors["self_attn.q_norm.weight"] + offset)
        gains = tensors["self_attn.k_norm.weight"] + offset
        if len(gains) == 16:  # each of the two key heads belongs to two heads of q
            k = [each for each in normalised(k[::2], gains) for _ in range(2)]
        else:
            k = normalised(k, gains)
    results = []
    for head, name in enumerate(names):
        planes = mapping.planes(name)
        assert planes is not None
        if len(planes.rows):
            q[head], k[head] = (rotated(each[head], planes) for each in (q, k))
        results.append(q[head].T @ k[head])
    return results


def check_first_output(
    mapping: Circuits, layer: int, attention: Attention, tensors: Mapping[str, Array]
) -> None:
    """Compare the output for the first token, which attends to itself alone, with W_o W_v x."""
    if mapping.architecture in ("BloomForCausalLM", "GptOssForCausalLM"):
        return  # which add the residual, and a share for no token
    x = attention.inputs[layer][0]
    if "self_attn.kv_b_proj.weight" in tensors:
        latent = tensors["self_attn.kv_a_proj_with_mqa.weight"][:8]
        x = x / np.sqrt(np.mean((latent @ (x * tensors["input_layernorm.weight"])) ** 2))
    names = [n for n, r in mapping.roles.items() if (r.layer, r.role) == (layer, "ov")]
    assert len(names) == HEADS
    ours = sum(np.asarray(mapping[n].B) @ (np.asarray(mapping[n].A) @ x) for n in names)
    in_float32 = str(mapping.architecture).startswith(("Gemma", "Deepseek"))  # the norms are
    error = (1e-6 if in_float32 else 1e-12) * np.abs(ours).max()
    step = len(attention.outputs) // LAYERS  # two modules inside each other give the same
    np.testing.assert_allclose(attention.outputs[step * layer][0], ours, rtol=0, atol=error)


def scale_of(logits: Array, ours: Array, *, added: bool) -> float:
    """Return the factor of the logits, after a check that they are a multiple of ours.

    With `added`, the difference may be a number for each query and a multiple of the key's
    position, which a regression takes out.
    """
    columns = [ours[PAST]]
    if added:
        queries, keys = np.nonzero(PAST)
        columns += [keys.astype(float), *(queries == np.arange(TOKENS)[:, None]).astype(float)]
    design = np.stack(columns, axis=1)
    coefficients = np.linalg.lstsq(design, logits[PAST])[0]
    size = np.abs(logits[PAST]).max()  # angles are in float32
    np.testing.assert_allclose(logits[PAST], design @ coefficients, rtol=0, atol=2e-5 * size)
    return float(coefficients[0])


@pytest.mark.parametrize("name", MODELS)
def test_circuits_give_the_logits_of_the_model(name: str, tmp_path: Path) -> None:
    model = write_model(tmp_path, name)
    mapping = circuits_of(ss.open_checkpoint(tmp_path, circuits=True))
    kind = MODELS[name][0]
    attention = attention_of(model, NORMS.get(kind, "input_layernorm"))
    assert len(attention.logits) == LAYERS
    for layer, logits in enumerate(attention.logits):
        tensors = {
            key.split(f".{layer}.", 1)[1]: value.detach().numpy()
            for key, value in model.state_dict().items()
            if f".{layer}." in key
        }
        ours = heads(mapping, layer, attention.inputs[layer], tensors)
        names = [n for n, r in mapping.roles.items() if (r.layer, r.role) == (layer, "qk")]
        check_first_output(mapping, layer, attention, tensors)
        for head, circuit in enumerate(names):
            scale = scale_of(logits[head], ours[head], added=kind in ADDED)
            bound = mapping.logit_bound(circuit)
            if kind.startswith("deepseek"):
                assert bound is None
                continue
            assert bound is not None
            products = scale * np.where(PAST, ours[head], 0)
            assert np.abs(products).max() <= bound.any_positions * (1 + 1e-6)
            assert np.abs(np.diag(products)).max() <= bound.same_position * (1 + 1e-6)
            if "self_attn.q_norm.weight" not in tensors:
                largest = mapping[circuit].svd(1).s[0]
                assert scale == pytest.approx(bound.same_position / (WIDTH * largest), rel=1e-5)
