# SPDX-License-Identifier: BSD-3-Clause
"""Weights of flax: names of Transformers' flax classes, of T5X and MaxText, and of Gemma."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.checkpoints import record
from tests.support.roles import roles_in_model

import sigmascope as ss
from sigmascope.checkpoint.naming.roles import role_of

RNG = np.random.default_rng(0)
Arrays = dict[str, NDArray[np.float32]]


def normal(*shape: int) -> NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


def opened(arrays: Arrays) -> ss.Checkpoint:
    return ss.open_checkpoint(arrays)


_TEXT = (Path(__file__).parents[1] / "support" / "flax_names.txt").read_text(encoding="utf-8")
CLASSES = {
    name: {each: shape for each, _, shape in (line.partition(" ") for line in lines)}
    for name, *lines in (
        text.strip().splitlines() for text in _TEXT.partition("\n\n")[2].split("# ")[1:]
    )
}


def of_torch(name: str, array: NDArray[np.float32]) -> tuple[str, NDArray[np.float32]]:
    """Name and turn a parameter as `load_flax_weights_in_pytorch_model` of Transformers does."""
    if name.endswith(".kernel") and array.ndim > 1:
        order = (3, 2, 0, 1) if array.ndim == 4 else tuple(range(array.ndim))[::-1]
        array = np.ascontiguousarray(array.transpose(order))
    return re.sub(r"\.(kernel|scale|embedding)$", ".weight", name), array


def model_of(flax_class: str) -> Arrays:
    shapes = {
        name: tuple(map(int, filter(None, text.split("x"))))
        for name, text in CLASSES[flax_class].items()
    }
    return {name: normal(*shape) for name, shape in shapes.items()}


classes = pytest.mark.parametrize("flax_class", CLASSES)


@classes
def test_names_have_the_roles_of_torchs(flax_class: str) -> None:
    names = list(CLASSES[flax_class])
    flat = {name: re.sub(r"\.(\d+)(?=\.)", r"_\1", name).replace(".", "/") for name in names}
    of_flax, of_paths = roles_in_model(names), roles_in_model(flat.values())
    theirs = {name: of_torch(name, np.zeros(1, np.float32))[0] for name in names}
    of_torchs = roles_in_model(theirs.values())
    assert of_flax == {name: of_torchs[theirs[name]] for name in names}
    assert all(role.role != "other" for role in of_flax.values())
    if "t5" not in flax_class:  # which numbers layers within layers
        assert {name: of_paths[flat[name]] for name in names} == of_flax


@classes
def test_weights_pair_with_torchs_and_do_not_change(flax_class: str) -> None:
    arrays = model_of(flax_class)
    torchs = dict(of_torch(name, array) for name, array in arrays.items())
    flax, torch = opened(arrays), opened(torchs)
    assert flax.unreadable == {}
    for name in flax:
        ours, theirs = np.asarray(flax[name]), np.asarray(torch[of_torch(name, normal(1))[0]])
        np.testing.assert_array_equal(ours, theirs)
    compared = ss.compare(torchs, arrays, effort="exact")
    changes = [row["relative_change"] for row in compared.rows if row["status"] == "analysed"]
    assert len(changes) == len(flax)
    assert not any(changes)


def test_how_weights_are_read_is_said() -> None:
    arrays = {"h.0.attn.c_proj.kernel": normal(6, 4), "h.0.strange.kernel": normal(6, 4)}
    checkpoint = opened(arrays)
    known, unknown = (record(checkpoint, name) for name in arrays)
    assert known["view"] == "flax's 6 x 4 read as 4 x 6, outputs as rows"
    assert (unknown["view"], checkpoint["h.0.strange.kernel"].shape) == (None, (6, 4))


@pytest.mark.parametrize("shape", [(3, 1), (1, 3), (1, 1), (1, 4, 2), (4, 2, 1)])
def test_kernels_of_one_input_or_output(shape: tuple[int, ...]) -> None:
    array = normal(*shape)
    checkpoint = opened({"layers_0.self_attention.query.kernel": array})
    wanted = array.reshape(shape[0], -1).T
    np.testing.assert_array_equal(
        np.asarray(checkpoint["layers_0.self_attention.query.kernel"]), wanted
    )


# ------------------------------------------------------------------------- T5X and MaxText

E, L, H, K, D, F = 12, 3, 4, 2, 5, 20
LAYER = {
    "self_attention.query.kernel": (E, H, D),
    "self_attention.key.kernel": (E, K, D),
    "self_attention.value.kernel": (E, K, D),
    "self_attention.out.kernel": (H, D, E),
    "mlp.wi_0.kernel": (E, F),
    "mlp.wi_1.kernel": (E, F),
    "mlp.wo.kernel": (F, E),
    "pre_self_attention_layer_norm.scale": (E,),
    "post_self_attention_layer_norm.scale": (E,),
    "self_attention.query.bias": (H, D),
}
OF_LLAMA = {
    "self_attention.query.kernel": "self_attn.q_proj.weight",
    "self_attention.key.kernel": "self_attn.k_proj.weight",
    "self_attention.value.kernel": "self_attn.v_proj.weight",
    "self_attention.out.kernel": "self_attn.o_proj.weight",
    "mlp.wi_0.kernel": "mlp.gate_proj.weight",
    "mlp.wi_1.kernel": "mlp.up_proj.weight",
    "mlp.wo.kernel": "mlp.down_proj.weight",
}
ROLES = ("q", "k", "v", "o", "gate", "up", "down")


def maxtext(prefix: str = "params.params.") -> tuple[Arrays, Arrays]:
    """Return a model whose layers are arrays of their own, and the weights as Llama has them.

    They are turned as `reshape_kernel` of MaxText's conversion does; what it does to the rotary
    embedding and to the scale of queries is left out.
    """
    arrays = {f"{prefix}token_embedder.embedding": normal(32, E)}
    arrays[f"{prefix}decoder.decoder_norm.scale"] = normal(E)
    arrays[f"{prefix}decoder.logits_dense.kernel"] = normal(E, 32)
    torchs = {
        "model.embed_tokens.weight": arrays[f"{prefix}token_embedder.embedding"],
        "lm_head.weight": arrays[f"{prefix}decoder.logits_dense.kernel"].T.copy(),
        "model.norm.weight": arrays[f"{prefix}decoder.decoder_norm.scale"],
    }
    for layer in range(L):
        for name, shape in LAYER.items():
            array = normal(*shape)
            arrays[f"{prefix}decoder.layers_{layer}.{name}"] = array
            if name in OF_LLAMA:
                size = E if name.endswith(("out.kernel", "wo.kernel")) else array.size // E
                turned = array.reshape(array.size // size, size).T.copy()
                torchs[f"model.layers.{layer}.{OF_LLAMA[name]}"] = turned
    return arrays, torchs


def scanned(arrays: Arrays, axis: int) -> Arrays:
    """Put the arrays of all layers into one, along an axis."""
    results = {name: array for name, array in arrays.items() if "layers_" not in name}
    first = [name for name in arrays if ".layers_0." in name]
    for name in first:
        each = [arrays[name.replace("layers_0", f"layers_{layer}")] for layer in range(L)]
        results[name.replace("layers_0", "layers")] = np.stack(each, axis)
    return results


def assert_compares(torchs: Arrays, arrays: Arrays) -> None:
    compared = ss.compare(torchs, arrays, effort="exact")
    rows = {row["before"]: row for row in compared.rows if row["status"] == "analysed"}
    assert set(rows) == {name for name, array in torchs.items() if array.ndim == 2}
    assert not any(row["relative_change"] for row in rows.values())


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_maxtext_compares_with_llamas_weights(axis: int | None) -> None:
    """Layers in arrays of their own, or all in one along either axis."""
    arrays, torchs = maxtext()
    arrays = arrays if axis is None else scanned(arrays, axis)
    checkpoint = opened(arrays)
    assert checkpoint.unreadable == {}
    roles = {(checkpoint.roles[name].layer, checkpoint.roles[name].role) for name in checkpoint}
    assert roles == {
        *((layer, role) for layer in range(L) for role in ROLES),
        *((None, "embed"), (None, "unembed")),
    }
    assert {checkpoint.roles[name].tower for name in checkpoint} == {"text"}
    assert_compares(torchs, arrays)


def test_slices_of_all_layers_have_names_and_records() -> None:
    checkpoint = opened(scanned(maxtext()[0], 1))
    stem = "params.params.decoder.layers"
    query = record(checkpoint, f"{stem}.self_attention.query.kernel")
    assert query["matrices"] == tuple(
        f"{stem}.self_attention.query.kernel[layer {layer}]" for layer in range(L)
    )
    assert query["view"] == "flax's 12 x 3 x 4 x 5 read as 3 matrices 20 x 12, outputs as rows"
    norm = record(checkpoint, f"{stem}.pre_self_attention_layer_norm.scale")
    assert norm["reason"] == "vectors of heads or layers, no spectrum"
    assert record(checkpoint, f"{stem}.self_attention.query.bias")["status"] == "vector"


def test_experts_of_all_layers() -> None:
    arrays, _ = maxtext("params.")
    arrays = {name: array for name, array in scanned(arrays, 1).items() if ".mlp." not in name}
    stack = normal(6, L, E, F)
    arrays["params.decoder.layers.MoeBlock_0.wi_0"] = stack
    checkpoint = opened(arrays)
    name = "params.decoder.layers.MoeBlock_0.wi_0[layer 2][5]"
    np.testing.assert_array_equal(np.asarray(checkpoint[name]), stack[5, 2].T)
    role = checkpoint.roles[name]
    assert (role.layer, role.role, role.expert) == (2, "gate", 5)


def test_axes_of_layers_that_are_not_known_are_named() -> None:
    same: Arrays = {"token_embedder.embedding": normal(32, 3)}
    same |= {f"decoder.layers.mlp.{each}.kernel": normal(3, 3, 3) for each in ("wi_0", "wo")}
    checkpoint = opened(same)
    assert list(checkpoint) == ["token_embedder.embedding"]
    assert set(checkpoint.unreadable.values()) == {
        "an array of all layers, several of whose axes may be the axis of layers"
    }
    arrays = scanned(maxtext()[0], 1)
    strange = "params.params.decoder.layers.strange.kernel"
    checkpoint = opened(arrays | {strange: normal(E, L, 7)})
    why = "an array of all layers, whose other axes are unknown"
    assert checkpoint.unreadable == {strange: why}
    blocks = "params.params.decoder.dense_layers.mlp.wi_0.kernel"
    checkpoint = opened(arrays | {blocks: normal(E, 2, F)})
    assert checkpoint.unreadable[blocks] == "an array of several layers, whose numbers are unknown"


@pytest.mark.parametrize(
    ("name", "layer", "role", "tower"),
    [
        ("target/encoder/layers_1/attention/query/kernel", 1, "q", "encoder"),
        ("target/encoder/layers_1/pre_attention_layer_norm/scale", 1, "attention_norm", "encoder"),
        ("target/decoder/layers_2/self_attention/out/kernel", 2, "o", "decoder"),
        ("target/decoder/layers_2/encoder_decoder_attention/key/kernel", 2, "cross_k", "decoder"),
        ("target/decoder/layers_2/mlp/wi_0/kernel", 2, "gate", "decoder"),
        ("target/decoder/decoder_norm/scale", None, "final_norm", "decoder"),
        ("target/token_embedder/embedding", None, "embed", "text"),
    ],
)
def test_names_of_t5x(name: str, layer: int | None, role: str, tower: str) -> None:
    result = role_of(name)
    assert (result.layer, result.role, result.tower) == (layer, role, tower)


# -------------------------------------------------------------------------------------- Gemma


def gemma(turned: bool, fused: bool) -> tuple[Arrays, Arrays]:
    """Return one layer as the Gemma package saves it, and as Transformers does, by einsums.

    The equations are those of `gemma.gm.nn`: BTD,NDH->BTNH and so on, applied to unit vectors.
    """
    keys = H if fused else K
    q, kv, o = normal(H, E, D), normal(2, keys, E, D), normal(H, D, E)
    gates, down = normal(2, E, F), normal(F, E)
    one = np.eye(E, dtype=np.float32)
    rows = {
        "q_proj": np.einsum("td,ndh->nht", one, q).reshape(-1, E),
        "k_proj": np.einsum("td,ndh->nht", one, kv[0]).reshape(-1, E),
        "v_proj": np.einsum("td,ndh->nht", one, kv[1]).reshape(-1, E),
        "o_proj": np.einsum("nhd->dnh", o).reshape(E, -1),
    }
    stem = "transformer/layer_0"
    arrays = {f"{stem}/attn/attn_vec_einsum.w": o, f"{stem}/mlp/linear.w": down}
    arrays[f"{stem}/mlp/gating_einsum.w"] = gates.swapaxes(1, 2).copy() if turned else gates
    if fused:
        arrays[f"{stem}/attn/qkv_einsum.w"] = np.stack([q, *kv])
    else:
        arrays |= {f"{stem}/attn/q_einsum.w": q, f"{stem}/attn/kv_einsum.w": kv}
    arrays["transformer/embedder.input_embedding"] = normal(32, E)
    arrays[f"{stem}/pre_attention_norm.scale"] = normal(E)
    torchs = {f"model.layers.0.self_attn.{name}.weight": each for name, each in rows.items()}
    mlp = {"gate_proj": gates[0].T, "up_proj": gates[1].T, "down_proj": down.T}
    torchs |= {f"model.layers.0.mlp.{name}.weight": each.copy() for name, each in mlp.items()}
    torchs["model.embed_tokens.weight"] = arrays["transformer/embedder.input_embedding"]
    torchs["model.layers.0.input_layernorm.weight"] = arrays[f"{stem}/pre_attention_norm.scale"]
    return arrays, torchs


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_gemma_compares_with_transformers_weights(turned: bool, fused: bool) -> None:
    arrays, torchs = gemma(turned, fused)
    assert opened(arrays).unreadable == {}
    assert_compares(torchs, arrays)


def test_norms_of_gemma_have_the_roles_of_transformers() -> None:
    """The first Gemma has two norms in a layer, the later ones four."""
    stem, torch = "transformer/layer_7", "model.layers.7"
    first = roles_in_model([f"{stem}/pre_attention_norm.scale", f"{stem}/pre_ffw_norm.scale"])
    theirs = roles_in_model(
        [f"{torch}.input_layernorm.weight", f"{torch}.post_attention_layernorm.weight"]
    )
    assert list(first.values()) == list(theirs.values())
    names = ("pre_attention", "post_attention", "pre_ffw", "post_ffw")
    later = roles_in_model([f"{stem}/{name}_norm.scale" for name in names])
    ends = ("input", "post_attention", "pre_feedforward", "post_feedforward")
    assert list(later.values()) == list(
        roles_in_model([f"{torch}.{end}_layernorm.weight" for end in ends]).values()
    )
