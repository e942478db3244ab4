# SPDX-License-Identifier: BSD-3-Clause
"""Folders of LoRA adapters in PEFT's layout, written module by module.

The factors of each module are a file of their own in the folder `parts` until all are there. Then
they are joined into adapter_model.safetensors, and the settings are written last, so that no
folder is an adapter before it is complete.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.replacing import replacing
from sigmascope.analysis.low_rank import LowRank
from sigmascope.checkpoint.formats.safetensors_output import (
    join_safetensors,
    read_header,
    write_safetensors,
)
from sigmascope.errors import CheckpointError
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix

from .modules import PREFIX
from .settings import NAME

WEIGHTS = "adapter_model.safetensors"

DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
"""Formats in which factors are stored, by their names in safetensors."""

_LONGEST = 180
"""Longest name of a part in bytes; a longer one ends with a digest of the rest."""

Array = NDArray[np.float64]


def check_dtype(dtype: str) -> None:
    """ValueError unless it is one of :data:`DTYPES`."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype is one of {', '.join(DTYPES)}, not {dtype!r}")


def stored_product(product: LowRank, dtype: str, *, transposed: bool) -> LowRank:
    """Return a product, or its transpose, with factors as they are stored.

    Raises
    ------
    ValueError
        A number is beyond the range of the format.
    """
    shown = product.T if transposed else product
    B, A = (np.ascontiguousarray(x, dtype=np.float64) for x in (shown.B, shown.A))
    return LowRank(_stored(B, dtype), _stored(A, dtype), shown.scale)


def _stored(x: Array, dtype: str) -> Matrix:
    """Round numbers to a format of :data:`DTYPES`, ties to even.

    Raises
    ------
    ValueError
        A number is beyond the range of the format.
    """
    with np.errstate(over="ignore"):
        numbers = x.astype(np.float16 if dtype == "float16" else np.float32)
    if not np.isfinite(numbers).all():
        raise ValueError(f"a factor has {np.abs(x).max():.3g}, beyond the range of {dtype}")
    if dtype != "bfloat16":
        return matrix(numbers)
    return matrix(_bfloat16(numbers), dtype="bf16")


def _bfloat16(numbers: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the codes of float32 numbers that are rounded to bfloat16, ties to even."""
    bits = numbers.view(np.uint32)
    codes = (bits + 0x7FFF + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return codes.astype(np.uint16)


def _codes(factor: Matrix) -> tuple[str, NDArray[Any]]:
    """Return the safetensors dtype and the stored numbers of a factor."""
    numbers = np.asarray(factor)
    if factor.storage == "bf16":
        return "BF16", _bfloat16(numbers)  # exact: they were rounded before
    if factor.storage == "f16":
        return "F16", numbers.astype(np.float16)
    return "F32", numbers.astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """The folder of an adapter that is being written.

    Attributes
    ----------
    path : Path
    settings : mapping
        Settings in addition to, or in place of, those that follow from the ranks, as
        `base_model_name_or_path` and `fan_in_fan_out`.
    """

    path: Path
    settings: Mapping[str, Any]

    def check_new(self) -> None:
        """Make the folder; ValueError if it holds a complete adapter."""
        if (self.path / NAME).exists():
            raise ValueError(f"{self.path} holds an adapter already")
        self._parts.mkdir(parents=True, exist_ok=True)

    @property
    def _parts(self) -> Path:
        return self.path / "parts"

    def _part(self, module: str) -> Path:
        stem = quote(module, safe="")
        if len(stem) > _LONGEST:
            stem = stem[: _LONGEST - 17] + "-" + hashlib.sha256(module.encode()).hexdigest()[:16]
        return self._parts / f"{stem}.safetensors"

    def put(self, module: str, product: LowRank) -> None:
        """Write the factors of a change s B A with s = 1, of the weight as PEFT adds it."""
        factors = {"A": product.A, "B": product.B}
        tensors = {
            f"{PREFIX}{module}.lora_{side}.weight": _codes(factor)
            for side, factor in factors.items()
        }
        write_safetensors(self._part(module), tensors)

    def rank_of(self, module: str) -> int | None:
        """Return the rank of a module that was put; None if its part is not there, or broken."""
        try:
            header = read_header(self._part(module))
            return int(header[f"{PREFIX}{module}.lora_A.weight"]["shape"][0])
        except (OSError, CheckpointError, KeyError):
            return None

    def finish(self, modules: Mapping[str, int]) -> None:
        """Join the parts of all modules, whose ranks are given, and write the settings.

        Raises
        ------
        OSError
            A file cannot be written; the parts stay, so that the call can be repeated.
        CheckpointError
            A part is broken.
        """
        join_safetensors(self.path / WEIGHTS, map(self._part, modules))
        text = json.dumps(self._settings(modules), indent=2)
        with replacing(self.path / NAME) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        shutil.rmtree(self._parts, ignore_errors=True)

    def _settings(self, modules: Mapping[str, int]) -> dict[str, Any]:
        """Return adapter_config.json; alpha is the rank of every module, so that the scale is 1."""
        r = Counter(modules.values()).most_common(1)[0][0]
        others = {f"^{re.escape(name)}": rank for name, rank in modules.items() if rank != r}
        return {
            "peft_type": "LORA",
            "task_type": None,
            "base_model_name_or_path": None,
            "inference_mode": True,
            "r": r,
            "lora_alpha": r,
            "rank_pattern": others,
            "alpha_pattern": others,
            "target_modules": list(modules),
            "fan_in_fan_out": False,
            "bias": "none",
            "lora_dropout": 0.0,
            "modules_to_save": None,
            "init_lora_weights": True,
            "use_rslora": False,
            "use_dora": False,
            **self.settings,
        }
