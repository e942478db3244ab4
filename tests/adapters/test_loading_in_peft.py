# SPDX-License-Identifier: BSD-3-Clause
"""Adapters that are written here, loaded by PEFT: the merged weights are base + B A."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmascope as ss

torch: Any = pytest.importorskip("torch")
peft: Any = pytest.importorskip("peft")


def model(seed: int) -> Any:
    """Two linear layers below two levels of names, one of them with a bias, and a vector."""
    torch.manual_seed(seed)
    block = torch.nn.ModuleDict(
        {"up_proj": torch.nn.Linear(24, 40), "down_proj": torch.nn.Linear(40, 24, bias=False)}
    )
    return torch.nn.ModuleDict(
        {"layers": torch.nn.ModuleList([block]), "norm": torch.nn.LayerNorm(24)}
    )


def check(base: Any, tuned: Any, folder: Path, **options: Any) -> ss.Adapter:
    """Extract, and compare what PEFT merges with base + B A, or its transpose."""
    assert ss.extract(base, tuned, folder, **options).written
    adapter = ss.open_adapter(folder)
    before = {name: x.detach().numpy().astype(float) for name, x in base.state_dict().items()}
    merged = peft.PeftModel.from_pretrained(base, folder).merge_and_unload().state_dict()
    for name in adapter:
        B, A = (np.asarray(x, dtype=float) for x in (adapter[name].B, adapter[name].A))
        np.testing.assert_allclose(merged[name].numpy(), before[name] + B @ A, atol=1e-6)
    return adapter


@pytest.mark.parametrize("criterion", [{"rank": 3}, {"error": 0.4}])
def test_merged_weights_are_base_plus_product(criterion: dict[str, Any], tmp_path: Path) -> None:
    assert len(check(model(0), model(1), tmp_path, **criterion)) == 2


def test_weights_with_inputs_as_rows(tmp_path: Path) -> None:
    """The Conv1D of GPT-2."""
    layers: Any = pytest.importorskip("transformers.pytorch_utils")
    models = []
    for seed in range(2):
        torch.manual_seed(seed)
        models.append(torch.nn.ModuleDict({"c_attn": layers.Conv1D(30, 20)}))
    adapter = check(*models, tmp_path, rank=3, fan_in_fan_out=True)
    assert adapter["c_attn.weight"].shape == (20, 30)
