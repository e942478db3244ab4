# SPDX-License-Identifier: BSD-3-Clause
"""Files that PyTorch saves."""

from __future__ import annotations

import zipfile
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


def crafted(path: Path, program: bytes, key: str = "0", data: bytes = bytes(64)) -> Path:
    """An archive of any pickle, with one storage."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", b"little")
        archive.writestr(f"archive/data/{key}", data)
    return path
