# SPDX-License-Identifier: BSD-3-Clause
"""Weights that differ by tensor: by layer, by role, in part, as a model stock; layers moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from tests.support.mergers import generator
from torch import Tensor

from sigmascope.provenance import Verification, verify

SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "verification.schema.json"
LAYERS, ROLES = 4, ("self_attn.q_proj", "mlp.up_proj")
Tensors = dict[str, Tensor]


def name_of(layer: int, role: str) -> str:
    return f"model.layers.{layer}.{role}.weight"


def make_models(count: int, layers: int = LAYERS, size: float = 0.1) -> list[Tensors]:
    """Return a base and models of it, which share a part of their changes.

    Several models are in float32, in which mergers have one order of rounding: that is quick.
    """
    g, dtype = generator(count), torch.bfloat16 if count == 1 else torch.float32
    models: list[Tensors] = [{} for _ in range(count + 1)]
    for layer in range(layers):
        for role in ROLES:
            base = (0.02 * torch.randn(32, 40, generator=g)).to(dtype)
            shared = torch.randn(32, 40, generator=g)
            models[0][name_of(layer, role)] = base
            for i, model in enumerate(models[1:]):
                own = torch.randn(32, 40, generator=g) * (1 + i + layer)
                change = 0.02 * size * (shared + 0.2 * own)
                model[name_of(layer, role)] = (base.float() + change).to(dtype)
    return models


def merge(models: list[Tensors], weights: Callable[[str], list[float]]) -> Tensors:
    merged = {}
    for name, base in models[0].items():
        total = base.float()
        for weight, model in zip(weights(name), models[1:], strict=True):
            total = total + weight * (model[name].float() - base.float())
        merged[name] = total.to(base.dtype)
    return merged


def check(base: Tensors, merged: Tensors, donors: list[Tensors], **options: Any) -> Verification:
    result = verify(base, merged, donors, **options)
    jsonschema.validate(json.loads(json.dumps(result.to_dict())), json.loads(SCHEMA.read_text()))
    return result


def layer_of(name: str) -> int:
    return int(name.split(".")[2])


def test_a_gradient_by_layer() -> None:
    models = make_models(1)
    result = check(models[0], merge(models, lambda n: [0.2 + 0.1 * layer_of(n)]), models[1:])
    assert result.verdict == "refuted"
    assert result.pattern is not None
    assert result.pattern["kind"] == "by layer"
    for layer, part in enumerate(result.pattern["parts"]):
        assert part["tensors"] == [name_of(layer, role) for role in ROLES]
        ((low, high),) = part["weights"]
        assert low <= 0.2 + 0.1 * layer <= high < low + 0.01
    assert result.sentences[0].startswith("The weights differ by layer, and are the same within")
    assert "in layer 0; 2 more; 0.5" in result.sentences[0]
    assert result.sentences[0].endswith("in layer 3.")


def test_weights_by_role() -> None:
    models = make_models(2)
    weights = {"q_proj": [0.3, 0.4], "up_proj": [0.6, 0.1]}
    result = check(models[0], merge(models, lambda n: weights[n.split(".")[-2]]), models[1:])
    assert result.pattern is not None
    assert (result.pattern["kind"], len(result.pattern["parts"])) == ("by role", 2)
    for part, own in zip(result.pattern["parts"], weights.values(), strict=True):
        for (low, high), weight in zip(part["weights"], own, strict=True):
            assert low <= weight <= high < low + 0.05
    assert "by role" in result.sentences[0]
    assert result.sentences[0].endswith("in up_proj.")


def test_weights_without_a_pattern_have_no_name() -> None:
    """One tensor of one layer differs from its neighbour."""
    models = make_models(1)

    def weights(name: str) -> list[float]:
        return [0.2 + 0.1 * layer_of(name) + 0.05 * (name == name_of(2, ROLES[1]))]

    result = check(models[0], merge(models, weights), models[1:])
    assert result.pattern is None
    assert result.sentences[0].startswith("The weights differ from tensor to tensor")


def test_equal_weights_within_their_intervals_are_one_weight() -> None:
    """Weights that differ by less than their intervals are not called a gradient."""
    models = make_models(1, size=0.01)
    result = check(models[0], merge(models, lambda n: [0.5 + 1e-6 * layer_of(n)]), models[1:])
    assert result.weights is not None
    assert result.pattern is None


@pytest.mark.parametrize("donors", [1, 2])
def test_layers_from_several_models(donors: int) -> None:
    """A passthrough: the first layers from the base, the others from one or two models."""
    models = make_models(donors)
    merged = {name: models[max(0, layer_of(name) - 3 + donors)][name] for name in models[0]}
    result = check(models[0], merged, models[1:])
    assert result.pattern is not None
    assert result.pattern["kind"] == "in part"
    assert [part["weights"][-1] for part in result.pattern["parts"]][-1] == [1.0, 1.0]
    places = ["layers 0 to 2 from the base", "layer 3 from dict in memory"]
    if donors == 2:
        places = ["layers 0 and 1 from the base", "layer 2 from dict in memory", places[1]]
    for place in places:
        assert place in result.sentences[0]


def test_a_weight_of_a_half_in_some_layers_is_not_a_passthrough() -> None:
    models = make_models(1)
    merged = merge(models, lambda n: [0.5 if layer_of(n) else 1.0])
    result = check(models[0], merged, models[1:])
    assert result.pattern is not None
    assert result.pattern["kind"] == "by layer"


def test_a_change_that_cannot_be_seen_is_in_neither_part() -> None:
    models = make_models(1)
    tiny = name_of(3, ROLES[0])
    models[1][tiny] = models[0][tiny].clone()
    models[1][tiny][5, 5] *= 1.0078125  # one unit of bfloat16, far less than one of float8
    merged = merge(models, lambda n: [1.0 if layer_of(n) > 1 else 0.0])
    merged[tiny] = merged[tiny].float().to(torch.float8_e5m2)
    result = check(models[0], merged, models[1:])
    assert result.pattern is not None
    assert result.pattern["undecided"] == [tiny]
    assert all(tiny not in part["tensors"] for part in result.pattern["parts"])
    assert result.sentences[0] == (
        "Tensors come from several models: layers 0 and 1 from the base and layers 2 and 3 from "
        "dict in memory. The numbers of 1 tensor do not tell which."
    )


def stock_weight(models: list[Tensors], name: str) -> float:
    changes = [(m[name].float() - models[0][name].float()).flatten() for m in models[1:]]
    k = len(changes)
    cosines = [
        torch.nn.functional.cosine_similarity(changes[i], changes[j], dim=0)
        for i in range(k)
        for j in range(i + 1, k)
    ]
    mean = float(torch.stack(cosines).mean())
    return mean / (1 + (k - 1) * mean)


@pytest.mark.parametrize("k", [2, 3])
def test_a_model_stock(k: int) -> None:
    models = make_models(k)
    merged = merge(models, lambda n: [stock_weight(models, n)] * k)
    result = check(models[0], merged, models[1:])
    assert result.pattern is not None
    assert result.pattern["kind"] == "model stock"
    for part in result.pattern["parts"]:
        (name,) = part["tensors"]
        for low, high in part["weights"]:
            assert low <= stock_weight(models, name) <= high < low + 0.01
    assert result.sentences[0].startswith("All donors have equal weights in each tensor")
    assert result.sentences[0].endswith("They are those of a model stock.")


def test_equal_weights_of_another_size_are_not_a_model_stock() -> None:
    models = make_models(2)
    merged = merge(models, lambda n: [0.3 + 0.02 * hash_of(n)] * 2)
    result = check(models[0], merged, models[1:])
    assert result.pattern is not None
    assert result.pattern["kind"] == "equal in each tensor"
    assert "model stock" not in result.sentences[0]


def test_unequal_weights_are_not_called_equal() -> None:
    models = make_models(2)
    merged = merge(models, lambda n: [0.3 + 0.02 * hash_of(n), 0.31 + 0.02 * hash_of(n)])
    result = check(models[0], merged, models[1:])
    assert result.pattern is None


def hash_of(name: str) -> int:
    return (7 * layer_of(name) + 3 * name.count("up")) % 5


def test_layers_at_other_places_are_named() -> None:
    """A frankenmerge: layers 0 to 2 of the base, then layers 1 to 3 of a model."""
    models = make_models(1)
    merged = {n: w for n, w in models[0].items() if layer_of(n) < 3}
    for layer in (1, 2, 3):
        for role in ROLES:
            merged[name_of(layer + 2, role)] = models[1][name_of(layer, role)]
    result = check(models[0], merged, models[1:])
    assert result.verdict == "refuted"
    sentence = next(each for each in result.sentences if "other places" in each)
    assert sentence == (
        "Layers were taken from other places, number for number: layers 3 to 5 are layers 1 to 3 "
        "of dict in memory."
    )


def test_an_edited_layer_is_not_called_a_copy() -> None:
    models = make_models(1)
    merged = {n: w.clone() for n, w in models[0].items()}
    for role in ROLES:
        merged[name_of(3, role)] = models[1][name_of(0, role)].clone()
    merged[name_of(3, ROLES[0])][31, 39] += 1
    result = check(models[0], merged, models[1:])
    text = " ".join(result.sentences)
    assert "Layers were taken" not in text
    assert f"{name_of(3, ROLES[1])} is {name_of(0, ROLES[1])} of dict in memory" in text
    assert f"{name_of(3, ROLES[0])} is" not in text
