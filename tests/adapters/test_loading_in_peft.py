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


@pytest.mark.parametrize("criterion", [{"rank": 3}, {"error": 0.4}])
def test_merged_weights_are_base_plus_product(criterion: dict[str, Any], tmp_path: Path) -> None:
    base, tuned = model(0), model(1)
    found = ss.extract(base, tuned, tmp_path, **criterion)
    assert found.written
    adapter = ss.open_adapter(tmp_path)
    before = {name: x.detach().numpy().astype(float) for name, x in base.state_dict().items()}
    merged = peft.PeftModel.from_pretrained(base, tmp_path).merge_and_unload().state_dict()
    for name in adapter:
        B, A = (np.asarray(x, dtype=float) for x in (adapter[name].B, adapter[name].A))
        expected = before[name] + B @ A
        np.testing.assert_allclose(merged[name].numpy(), expected, atol=1e-6)
    assert len(adapter) == 2
