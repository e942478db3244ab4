# SPDX-License-Identifier: BSD-3-Clause
"""Files that PyTorch saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch")


def normal(*shape: int, seed: int = 0, dtype: str = "float32") -> Any:
    numbers = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(numbers).to(getattr(torch, dtype))


def saved(folder: Path, value: object, name: str = "pytorch_model.bin") -> Path:
    torch.save(value, folder / name)
    return folder / name
