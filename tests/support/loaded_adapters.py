# SPDX-License-Identifier: BSD-3-Clause
"""Models of torch, their changes, and what PEFT makes of an adapter; for tests that need these."""

from __future__ import annotations

import copy
import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def numbers(model: Any) -> dict[str, Array]:
    return {name: x.detach().numpy().astype(float) for name, x in model.state_dict().items()}


def tuned_of(base: Any, seed: int = 1) -> Any:
    """The same model, all of whose parameters changed by Gaussian numbers."""
    torch: Any = importlib.import_module("torch")
    torch.manual_seed(seed)
    tuned = copy.deepcopy(base)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return tuned


def best(name: str, before: Array, after: Array, rank: int) -> Array:
    """The nearest change of a rank: of each expert, or of a kernel with its outputs as rows."""
    delta = after - before
    shape = delta.shape
    stacked = delta if "experts" in name else delta.reshape(1, shape[0], -1)
    U, s, Vt = np.linalg.svd(stacked, full_matrices=False)
    k = min(rank, s.shape[-1])
    return np.asarray((U[..., :k] * s[..., None, :k]) @ Vt[..., :k, :]).reshape(shape)


def loaded(base: Any, folder: Path, warned: str = "^$") -> Any:
    """PEFT's model with the adapter; a warning, as of a tensor that is not there, is an error.

    `warned` is the pattern of one that is expected.
    """
    peft: Any = importlib.import_module("peft")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # PEFT looks for patterns of ranks among modules alone, and applies them to parameters.
        warnings.filterwarnings("ignore", ".*_pattern keys did not match")
        warnings.filterwarnings("ignore", warned)
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
        return peft.PeftModel.from_pretrained(copy.deepcopy(base), folder)
