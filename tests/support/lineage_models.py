# SPDX-License-Identifier: BSD-3-Clause
"""Small models in memory, by the names of Llama, and models that descend from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[np.float32]]

WIDTH, HIDDEN, LAYERS, VOCABULARY = 64, 128, 2, 97
INPUTS = ("q", "k", "v", "gate", "up")


def name(layer: int, kind: str) -> str:
    """The name of a matrix in Llama."""
    block = "mlp" if kind in ("gate", "up", "down") else "self_attn"
    return f"model.layers.{layer}.{block}.{kind}_proj.weight"


def norm(layer: int, block: str) -> str:
    place = "input_layernorm" if block == "attention" else "post_attention_layernorm"
    return f"model.layers.{layer}.{place}.weight"


EMBED, HEAD, FINAL = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"


def random_model(
    seed: int, *, layers: int = LAYERS, hidden: int = HIDDEN, width: int = WIDTH
) -> Weights:
    """A model of independent weights, with a mean and outlier channels that all models share."""
    rng = np.random.default_rng([seed, 77])
    shared = np.exp(0.5 * np.random.default_rng(5).normal(size=width))

    def draw(rows: int, columns: int) -> NDArray[np.float32]:
        return (rng.normal(size=(rows, columns)) / np.sqrt(columns)).astype(np.float32)

    weights: Weights = {EMBED: draw(VOCABULARY, width), HEAD: draw(VOCABULARY, width)}
    weights[FINAL] = np.ones(width, np.float32)
    for layer in range(layers):
        for kind in "qkvo":
            weights[name(layer, kind)] = draw(width, width)
        weights[name(layer, "gate")] = draw(hidden, width) * shared.astype(np.float32)
        weights[name(layer, "up")] = draw(hidden, width)
        weights[name(layer, "down")] = draw(width, hidden)
        for block in ("attention", "mlp"):
            gains = 1 + 0.2 * rng.random(width)
            weights[norm(layer, block)] = gains.astype(np.float32)
    return weights


def map_matrices(weights: Weights, change: Callable[[NDArray[np.float32]], object]) -> Weights:
    """The model with a function applied to each matrix."""
    return {
        key: np.asarray(change(x), np.float32) if x.ndim == 2 else x for key, x in weights.items()
    }


def tuned(weights: Weights, seed: int, size: float = 0.3) -> Weights:
    """A fine-tune: every matrix changes by `size` of its norm."""
    rng = np.random.default_rng([seed, 78])
    return map_matrices(
        weights, lambda x: x + size * np.sqrt(np.mean(x**2)) * rng.normal(size=x.shape)
    )


def merged(one: Weights, other: Weights, share: float = 0.5) -> Weights:
    return {key: share * x + (1 - share) * other[key] for key, x in one.items()}


def rounded(weights: Weights, bits: int) -> Weights:
    """Each row rounded to integers of so many bits."""
    largest = 2 ** (bits - 1) - 1

    def change(x: NDArray[np.float32]) -> NDArray[np.float32]:
        scale = np.abs(x).max(axis=1, keepdims=True) / largest
        return np.round(x / scale) * scale

    return map_matrices(weights, change)


def zeroed(weights: Weights) -> Weights:
    """Half of the entries, the smallest ones, set to zero."""
    return map_matrices(weights, lambda x: np.where(np.abs(x) < np.median(np.abs(x)), 0, x))


def choose_units(weights: Weights, choice: Callable[[int], Sequence[int]]) -> Weights:
    """The model with the units of each layer in another order, or with some left out."""
    result = dict(weights)
    for layer in layers_of(weights):
        units = np.asarray(choice(len(weights[name(layer, "gate")])))
        result[name(layer, "gate")] = weights[name(layer, "gate")][units]
        result[name(layer, "up")] = weights[name(layer, "up")][units]
        result[name(layer, "down")] = np.ascontiguousarray(weights[name(layer, "down")][:, units])
    return result


def permuted(weights: Weights, seed: int = 0, keep: float = 1.0) -> Weights:
    rng = np.random.default_rng([seed, 79])
    return choose_units(weights, lambda count: rng.permutation(count)[: round(keep * count)])


def pruned(weights: Weights, keep: float = 0.7) -> Weights:
    """Units left out by their norms, and the others compacted in their order."""
    rng = np.random.default_rng(80)
    return choose_units(
        weights, lambda count: np.sort(rng.permutation(count)[: round(keep * count)])
    )


def folded(weights: Weights) -> Weights:
    """The gains of the norms multiplied into the matrices after them."""
    result = dict(weights)
    for layer in layers_of(weights):
        for kind in INPUTS:
            block = "attention" if kind in "qkv" else "mlp"
            result[name(layer, kind)] = weights[name(layer, kind)] * weights[norm(layer, block)]
        for block in ("attention", "mlp"):
            result[norm(layer, block)] = np.ones_like(weights[norm(layer, block)])
    return result


def rotated(weights: Weights, seed: int = 0) -> Weights:
    """The same function in a rotated residual stream."""
    weights = folded(weights)
    width = weights[EMBED].shape[1]
    rotation = np.linalg.qr(np.random.default_rng([seed, 81]).normal(size=(width, width)))[0]
    result = dict(weights)
    for key, x in weights.items():
        if x.ndim == 2:
            writes = key.endswith(("o_proj.weight", "down_proj.weight"))
            result[key] = (rotation.T @ x if writes else x @ rotation).astype(np.float32)
    return result


def with_layers(weights: Weights, order: Sequence[int]) -> Weights:
    """The model with other layers: swapped, left out or repeated."""
    result = {key: x for key, x in weights.items() if ".layers." not in key}
    for place, layer in enumerate(order):
        for key, x in weights.items():
            if f".layers.{layer}." in key:
                result[key.replace(f".layers.{layer}.", f".layers.{place}.")] = x
    return result


def with_embeddings(weights: Weights, other: Weights) -> Weights:
    """The layers of one model, and the embedding and head of another."""
    return {**weights, EMBED: other[EMBED], HEAD: other[HEAD]}


def with_shared_units(weights: Weights, other: Weights, share: float, seed: int = 0) -> Weights:
    """The model with a share of the units of another, in place."""
    rng, result = np.random.default_rng([seed, 82]), dict(weights)
    for layer in layers_of(weights):
        count = len(weights[name(layer, "gate")])
        units = rng.permutation(count)[: round(share * count)]
        for kind in ("gate", "up"):
            result[name(layer, kind)] = weights[name(layer, kind)].copy()
            result[name(layer, kind)][units] = other[name(layer, kind)][units]
        result[name(layer, "down")] = weights[name(layer, "down")].copy()
        result[name(layer, "down")][:, units] = other[name(layer, "down")][:, units]
    return result


def with_dead_units(weights: Weights, units: Sequence[int]) -> Weights:
    """The model with some hidden units set to zero, as padding does."""
    result = dict(weights)
    for layer in layers_of(weights):
        for kind in ("gate", "up", "down"):
            x = weights[name(layer, kind)].copy()
            if kind == "down":
                x[:, units] = 0
            else:
                x[units] = 0
            result[name(layer, kind)] = x
    return result


def layers_of(weights: Weights) -> list[int]:
    return sorted({int(key.split(".")[2]) for key in weights if ".layers." in key})
