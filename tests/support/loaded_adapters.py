# SPDX-License-Identifier: BSD-3-Clause
"""Models of torch, their changes, and what PEFT makes of an adapter; for tests that need these."""

from __future__ import annotations

import copy
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, Any]

FAMILIES = {
    "qwen3_moe": {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 20},
    "mixtral": {"num_local_experts": 3, "num_experts_per_tok": 2},
    "gpt_oss": {"num_local_experts": 3, "num_experts_per_tok": 2},
}
"""The last one has stacks with inputs as rows, and biases of routers, which PEFT wraps."""


def experts_of(family: str, **sizes: Any) -> Any:
    """A small model of one of FAMILIES, with stacked experts."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = pytest.importorskip("transformers", minversion="5.0")
    torch.manual_seed(0)
    common = {
        "vocab_size": 40,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "tie_word_embeddings": False,
    }
    stem = "".join(word.capitalize() for word in family.split("_"))
    config = getattr(transformers, f"{stem}Config")(**(common | FAMILIES[family] | sizes))
    return getattr(transformers, f"{stem}ForCausalLM")(config).eval()


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


@contextmanager
def strict(warned: str = "^$") -> Iterator[None]:
    """Make warnings of PEFT errors, as of a tensor that is not there.

    `warned` is the pattern of one that is expected.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # PEFT looks for patterns of ranks among modules alone, and applies them to parameters.
        warnings.filterwarnings("ignore", ".*_pattern keys did not match")
        warnings.filterwarnings("ignore", warned)
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
        yield


def loaded(base: Any, folder: Path, warned: str = "^$") -> Any:
    """PEFT's model with the adapter; a warning is an error, but for the one that is expected."""
    peft: Any = importlib.import_module("peft")
    with strict(warned):
        return peft.PeftModel.from_pretrained(copy.deepcopy(base), folder)
