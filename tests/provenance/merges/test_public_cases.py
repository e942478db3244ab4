# SPDX-License-Identifier: BSD-3-Clause
"""Mistakes of mergers that were reported in public, each with the sentence that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.support.mergers import added_once, generator, make_case
from tests.support.verified_merges import write_product
from torch import Tensor

from sigmascope.provenance import Verification, verify

NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453]
NF4 += [-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0]
NF4 += [0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224]
NF4 += [0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]

LAYER = "model.layers.0."
GATE, UP = f"{LAYER}mlp.gate_proj", f"{LAYER}mlp.up_proj"
QUERY = f"{LAYER}self_attn.q_proj"


class Files:
    """A base of three weights, an adapter of two of them, and what a merger made of it."""

    def __init__(self, folder: Path, *modules: str, factors: torch.dtype = torch.float32) -> None:
        self.folder = folder
        self.base: dict[str, Tensor] = {}
        self.donors: dict[str, tuple[Tensor, Tensor, float]] = {}
        tensors: dict[str, Tensor] = {}
        for seed, module in enumerate((GATE, UP, QUERY)):
            case = make_case(8 * seed + 1, shape=(128, 128), factors=factors, size=0.02)
            self.base[f"{module}.weight"] = case.base
            if module in (modules or (GATE, UP)):
                a, b, _ = case.donors[0]
                self.donors[module] = a, b, 2.0
                tensors[f"base_model.model.{module}.lora_A.weight"] = a
                tensors[f"base_model.model.{module}.lora_B.weight"] = b
        first = next(iter(self.donors))
        targets = [module.rsplit(".", 1)[1] for module in self.donors]
        rank = len(self.donors[first][0])
        write_product(folder / "adapter", self.donors[first], first, target_modules=targets, r=rank,
                      lora_alpha=2 * rank)  # fmt: skip
        names = {name: each.contiguous() for name, each in tensors.items()}
        save_file(names, folder / "adapter" / "adapter_model.safetensors")

    def merged(self) -> dict[str, Tensor]:
        made = dict(self.base)
        for module, donor in self.donors.items():
            name = f"{module}.weight"
            made[name] = added_once(self.base[name], [donor], [1.0]).to(torch.bfloat16)
        return made

    def verify(self, merged: dict[str, Tensor], expect: str = "adapter") -> Verification:
        return verify(self.base, merged, self.folder / "adapter", expect=expect)


def test_a_merger_that_wrote_the_base(tmp_path: Path) -> None:
    files = Files(tmp_path)
    result = files.verify(files.base)
    assert result.verdict == "refuted"
    assert "adapter was not applied: the file is the base" in result.sentences[0]


def test_a_merge_into_a_four_bit_copy_of_the_base(tmp_path: Path) -> None:
    """QLoRA's base was decoded, changed, and saved."""
    files = Files(tmp_path)
    merged = dict(files.base)
    for module, donor in files.donors.items():
        name = f"{module}.weight"
        coded = nf4(files.base[name])
        merged[name] = added_once(coded, [donor], [1.0]).to(torch.bfloat16)
    result = files.verify(merged)
    assert result.verdict == "refuted"
    assert (
        "A mistake explains 2 tensors: merged into a 4-bit copy of the base (NF4, blocks of 64)."
        in result.sentences
    )
    low, high = result.rows[0]["explanation"]["weights"][0]
    assert low <= 1 <= high


def nf4(weight: Tensor) -> Tensor:
    """Decode the 4-bit codes of a weight, by the nearest of the 16 values."""
    values = torch.tensor(NF4)
    blocks = weight.float().reshape(-1, 64)
    largest = blocks.abs().max(1, keepdim=True).values
    nearest = ((blocks / largest)[..., None] - values).abs().argmin(-1)
    return (values[nearest] * largest).reshape(weight.shape).to(weight.dtype)


@pytest.mark.parametrize(("factor", "name"), [(0.5, "alpha / r is missing"), (2.0, "twice")])
def test_another_scale(factor: float, name: str, tmp_path: Path) -> None:
    """The factor alpha / r was left out, or applied twice."""
    files = Files(tmp_path)
    merged = files.merged()
    for module, (a, b, scale) in files.donors.items():
        weight = f"{module}.weight"
        merged[weight] = added_once(files.base[weight], [(a, b, scale * factor)], [1.0]).bfloat16()
    result = files.verify(merged)
    assert result.verdict == "refuted", name
    assert result.weights is not None
    assert result.weights[0].low <= factor <= result.weights[0].high


def test_gate_and_up_exchanged(tmp_path: Path) -> None:
    files = Files(tmp_path)
    merged = files.merged()
    for module, other in ((GATE, UP), (UP, GATE)):
        name = f"{module}.weight"
        merged[name] = added_once(files.base[name], [files.donors[other]], [1.0]).bfloat16()
    result = files.verify(merged)
    assert result.verdict == "refuted"
    assert result.rows[0]["explanation"]["words"] == f"the change of {UP}.weight was added instead"
    assert result.sentences[1].startswith("A mistake explains 2 tensors")


def test_a_change_that_was_added_transposed(tmp_path: Path) -> None:
    files = Files(tmp_path, QUERY)
    a, b, scale = files.donors[QUERY]
    merged = dict(files.base)
    turned = b.T.contiguous(), a.T.contiguous(), scale
    name = f"{QUERY}.weight"
    merged[name] = added_once(files.base[name], [turned], [1.0]).bfloat16()
    result = files.verify(merged)
    assert result.verdict == "refuted"
    assert "A mistake explains 1 tensor: the change was added transposed." in result.sentences


def test_rows_of_queries_in_another_order(tmp_path: Path) -> None:
    """Two layouts of rotary embeddings: no weights explain the rows of another order."""
    files = Files(tmp_path)
    merged = files.merged()
    name = f"{QUERY}.weight"
    order = torch.arange(128).reshape(2, 2, 32).transpose(1, 2).reshape(-1)
    merged[name] = files.base[name][order]
    result = files.verify(merged)
    assert result.verdict == "refuted"
    assert f"No donor changes {name}, but the merged file differs there." in result.sentences


def test_an_adapter_that_was_applied_to_half_of_the_layers(tmp_path: Path) -> None:
    files = Files(tmp_path)
    merged = files.merged() | {f"{UP}.weight": files.base[f"{UP}.weight"]}
    result = files.verify(merged)
    assert result.verdict == "refuted"
    assert result.sentences[0] == (
        "adapter was applied in part: to gate_proj of layer 0, but not to up_proj of layer 0."
    )
    assert result.verdict == files.verify(merged, "linear").verdict


def test_factors_that_were_rounded_before_the_product(tmp_path: Path) -> None:
    """Factors in float32 that a merger casts to the base's format are a right merge."""
    files = Files(tmp_path)
    merged = dict(files.base)
    for module, (a, b, scale) in files.donors.items():
        name = f"{module}.weight"
        rounded = a.bfloat16(), b.bfloat16(), scale
        merged[name] = added_once(files.base[name], [rounded], [1.0]).to(torch.bfloat16)
    result = files.verify(merged)
    assert result.verdict == "confirmed"
    assert {row.get("factors") for row in result.rows[:2]} == {"bf16"}


def test_noise_is_named_by_numbers(tmp_path: Path) -> None:
    files = Files(tmp_path)
    merged = files.merged()
    name = f"{GATE}.weight"
    noise = 1e-3 * torch.randn(128, 128, generator=generator(3))
    merged[name] = (merged[name].float() + noise).bfloat16()
    result = files.verify(merged)
    assert result.verdict == "refuted"
    assert result.witness is not None
    assert result.witness["tensor"] == name
