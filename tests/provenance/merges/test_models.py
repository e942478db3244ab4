# SPDX-License-Identifier: BSD-3-Clause
"""Merges of whole models: sentences, tensors that stand out, files that cannot be verified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from safetensors.torch import save_file
from tests.support.verified_merges import write_product
from torch import Tensor

from sigmascope.errors import CheckpointError
from sigmascope.provenance import Verification, verify

SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "verification.schema.json"
ADAPTED = [f"model.layers.{i}.self_attn.{name}" for i in (0, 1) for name in ("q_proj", "v_proj")]
NORM = "model.layers.1.input_layernorm.weight"
EMBEDDINGS = "model.embed_tokens.weight"


def weights_of_base() -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {}
    for i in (0, 1):
        for name in ("q_proj", "k_proj", "v_proj"):
            weights[f"model.layers.{i}.self_attn.{name}.weight"] = torch.randn(96, 96, generator=g)
        weights[f"model.layers.{i}.mlp.up_proj.weight"] = torch.randn(160, 96, generator=g)
        weights[f"model.layers.{i}.input_layernorm.weight"] = 50 + torch.randn(96, generator=g)
    weights[EMBEDDINGS] = torch.randn(300, 96, generator=g)
    return {name: (0.02 * weight).bfloat16() for name, weight in weights.items()}


class Model:
    """A base, an adapter of four of its weights, and the file in which both are merged."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.base = folder, weights_of_base()
        g = torch.Generator().manual_seed(1)
        factors: dict[str, Tensor] = {}
        self.changes: dict[str, Tensor] = {}
        for module in ADAPTED:
            a, b = torch.randn(4, 96, generator=g) / 10, torch.randn(96, 4, generator=g) / 1000
            factors |= {f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": b}
            self.changes[f"{module}.weight"] = 2 * (b @ a)
        first = ADAPTED[0]
        a, b = factors[f"{first}.lora_A.weight"], factors[f"{first}.lora_B.weight"]
        write_product(folder / "adapter", (a, b, 2.0), first, target_modules=["q_proj", "v_proj"])
        names = {f"base_model.model.{name}": each.contiguous() for name, each in factors.items()}
        save_file(names, folder / "adapter" / "adapter_model.safetensors")
        save_file(self.base, folder / "base.safetensors")

    def merged(self, weight: float = 1.0, **other: float) -> dict[str, Tensor]:
        made = dict(self.base)
        for name, change in self.changes.items():
            made[name] = (made[name].float() + other.get(name, weight) * change).bfloat16()
        return made

    def verify(self, merged: dict[str, Tensor], **options: Any) -> Verification:
        save_file({n: t.contiguous() for n, t in merged.items()}, self.folder / "m.safetensors")
        options = {"expect": "adapter"} | options
        donors = options.pop("donors", self.folder / "adapter")
        result = verify(
            self.folder / "base.safetensors", self.folder / "m.safetensors", donors, **options
        )
        jsonschema.validate(
            json.loads(json.dumps(result.to_dict())), json.loads(SCHEMA.read_text())
        )
        return result


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp("model"))


def test_a_right_merge_is_confirmed_in_every_tensor(model: Model) -> None:
    result = model.verify(model.merged())
    assert result.verdict == "confirmed"
    assert result.weights is not None
    assert result.weights[0].low <= 1 <= result.weights[0].high
    assert result.weights[0].high - result.weights[0].low < 1e-3
    assert result.orders == ("added in float32, rounded once",)
    statuses = [row["status"] for row in result.rows]
    assert (statuses.count("merged"), statuses.count("identical"), len(statuses)) == (4, 7, 11)
    assert result.sentences[0].startswith("Every number of 4 tensors is base + 1.00")
    assert result.sentences[-1] == "7 tensors that no donor changes are those of the base."
    assert result.survived is not None
    assert 0.9 < result.survived < 1.1


@pytest.mark.parametrize("weight", [0.25, 0.999, 1.01, 2.0, -1.0])
def test_another_strength_is_refuted_and_measured(model: Model, weight: float) -> None:
    result = model.verify(model.merged(weight))
    assert result.verdict == "refuted"
    assert result.weights is not None
    assert result.weights[0].low <= weight <= result.weights[0].high
    assert f"base + {weight:.3f}"[:-1] in result.sentences[0]


def test_an_adapter_that_was_not_applied(model: Model) -> None:
    result = model.verify(model.base)
    assert result.verdict == "refuted"
    moved = sum(row["changed"] for row in model.verify(model.merged()).rows)
    assert result.sentences[0] == (
        "adapter was not applied: the file is the base, number for number. (Had it been, "
        f"{moved:,} numbers would differ.)"
    )


def test_a_change_that_cannot_be_seen_is_not_called_missing(model: Model, tmp_path: Path) -> None:
    a, b = torch.full((1, 96), 1e-9), torch.full((96, 1), 1e-9)
    donor = write_product(tmp_path / "tiny", (a, b, 1.0), ADAPTED[0])
    result = model.verify(model.base, donors=donor)
    assert result.verdict == "undetermined"
    assert result.sentences[0] == (
        "tiny cannot be seen in bfloat16: applied or not, at most 0 numbers would differ."
    )


def test_weights_that_differ_by_tensor(model: Model) -> None:
    result = model.verify(model.merged(1.0, **{f"{ADAPTED[0]}.weight": 0.0}))
    assert result.verdict == "refuted"
    assert result.weights is None
    assert result.sentences[0] == (
        "adapter was applied in part: to v_proj of all layers and q_proj of layer 1, but not to "
        "q_proj of layer 0."
    )
    result = model.verify(model.merged(1.0, **{f"{ADAPTED[0]}.weight": 0.5}), expect=None)
    assert "differ from tensor to tensor" in result.sentences[0]
    assert (result.verdict, result.decisions[0].reason) == (
        "refuted",
        "the weights differ from tensor to tensor",
    )


@pytest.mark.parametrize("name", [NORM, EMBEDDINGS, "model.layers.1.mlp.up_proj.weight"])
def test_a_tensor_that_no_donor_changes_must_be_that_of_the_base(model: Model, name: str) -> None:
    merged = model.merged()
    merged[name] = merged[name].clone()
    merged[name].view(-1)[40] *= 1.5
    result = model.verify(merged)
    assert result.verdict == "refuted"
    row = next(row for row in result.rows if row["name"] == name)
    assert (row["status"], row["changed"]) == ("changed", 1)
    assert f"No donor changes {name}" in result.sentences[-1]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", [f"{ADAPTED[1]}.weight", NORM])
def test_numbers_that_are_not_finite_are_never_explained(
    model: Model, name: str, value: float
) -> None:
    merged = model.merged()
    merged[name] = merged[name].clone()
    merged[name].view(-1)[30] = value
    result = model.verify(merged)
    assert result.verdict == "refuted"
    if name != NORM:
        assert result.witness is not None
        assert result.witness["numbers"][0]["merged"] == str(value)


def test_a_missing_tensor_leaves_the_verdict_open(model: Model) -> None:
    merged = model.merged()
    del merged["model.layers.1.mlp.up_proj.weight"]
    result = model.verify(merged)
    assert result.verdict == "undetermined"
    row = next(row for row in result.rows if row["status"] == "unpaired")
    assert row["name"] == "model.layers.1.mlp.up_proj.weight"
    assert "could not be verified" in result.sentences[-1]


def test_a_longer_vocabulary_is_compared_in_its_common_rows(model: Model) -> None:
    merged = model.merged()
    merged[EMBEDDINGS] = torch.cat([merged[EMBEDDINGS], merged[EMBEDDINGS][:20]])
    result = model.verify(merged)
    row = next(row for row in result.rows if row["name"] == EMBEDDINGS)
    assert (row["status"], row["numbers"]) == ("identical", 300 * 96)
    assert "only the first 300 rows" in row["note"]


def test_formats_without_cells_are_listed_with_the_reason(model: Model) -> None:
    merged = model.merged()
    name = f"{ADAPTED[2]}.weight"
    merged[name] = merged[name].double()
    result = model.verify(merged)
    row = next(row for row in result.rows if row["name"] == name)
    assert row["status"] == "not verified"
    assert "stores it as F64" in row["reason"]
    assert result.verdict == "undetermined"


def test_a_change_without_a_weight_leaves_the_verdict_open(model: Model, tmp_path: Path) -> None:
    a, b = torch.randn(2, 96), torch.randn(96, 2)
    donor = write_product(tmp_path / "other", (a, b, 1.0), "model.layers.9.self_attn.q_proj")
    result = model.verify(model.base, donors=donor)
    assert result.verdict == "undetermined"
    assert "layers.9" in result.sentences[-1]


@pytest.mark.parametrize(
    ("merged", "expect", "verdict"),
    [
        ("base", "identical", "confirmed"),
        ("base", "rounding", "confirmed"),
        ("merged", "identical", "refuted"),
        ("merged", "rounding", "refuted"),
        ("merged", "linear", "confirmed"),
        ("merged", "survived>=.5", "confirmed"),
        ("merged", "survived>=1.5", "refuted"),
        ("merged", ["adapter", "survived>=.5"], "confirmed"),
        ("merged", ["adapter", "identical"], "refuted"),
        ("float32", "identical", "refuted"),
        ("float32", "rounding", "confirmed"),
    ],
)
def test_expectations(model: Model, merged: str, expect: Any, verdict: str) -> None:
    stored = {
        "base": model.base,
        "merged": model.merged(),
        "float32": {name: weight.float() for name, weight in model.base.items()},
    }[merged]
    result = model.verify(stored, expect=expect)
    assert result.verdict == verdict
    assert len(result.decisions) == (len(expect) if isinstance(expect, list) else 1)
    if merged == "float32":
        assert "rounded to float32" in " ".join(result.sentences)


def test_a_tolerance_accepts_weights_near_the_claim(model: Model) -> None:
    merged = model.merged(1.002)
    assert model.verify(merged, tolerance=0.005).verdict == "confirmed"
    assert model.verify(merged, tolerance=0.001).verdict == "refuted"
    assert model.verify(merged).verdict == "refuted"


def test_the_base_in_another_format(model: Model) -> None:
    """A base in float32, merged and stored in bfloat16."""
    base = {name: weight.float() for name, weight in model.base.items()}
    result = verify(base, model.merged(), model.folder / "adapter", expect="adapter")
    assert result.verdict == "confirmed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expect": "right"}, "is not an expectation"),
        ({"expect": "weights=1,2"}, "has 2 weights for 1 donors"),
        ({"expect": "weights=x"}, "'x' is not a finite number"),
        ({"expect": ["weights=1", "weights=2"]}, "claim different weights"),
        ({"tolerance": -1.0}, "must be finite and not negative"),
    ],
)
def test_wrong_options_are_named(model: Model, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.verify(model.base, **options)


def test_an_adapter_is_not_a_base(model: Model) -> None:
    with pytest.raises(ValueError, match=r"base: .* is an adapter"):
        verify(model.folder / "adapter", model.base)
    with pytest.raises(CheckpointError):
        verify(model.folder / "nothing", model.base)


def test_a_result_is_saved_as_json(model: Model, tmp_path: Path) -> None:
    result = model.verify(model.merged())
    result.save(tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text()) == json.loads(json.dumps(result.to_dict()))
    with pytest.raises(ValueError, match=r"saved as \.json, \.html, \.xml or \.sarif"):
        result.save(tmp_path / "x.pdf")


def test_integers_are_compared_number_for_number(model: Model) -> None:
    ids = {"model.embeddings.position_ids": torch.arange(40)[None]}
    base, merged = model.base | ids, model.merged() | ids
    donor = model.folder / "adapter"
    result = verify(base, merged, donor, expect="adapter")
    assert result.verdict == "confirmed"
    assert result.rows[-1]["status"] == "identical"
    assert verify(base, base, expect="identical").verdict == "confirmed"
    other = {"model.embeddings.position_ids": torch.arange(40).flip(0)[None]}
    result = verify(base, merged | other, donor, expect="adapter")
    assert result.verdict == "refuted"
    assert (result.rows[-1]["status"], result.rows[-1]["changed"]) == ("changed", 40)
