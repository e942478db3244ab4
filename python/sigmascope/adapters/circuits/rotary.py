# SPDX-License-Identifier: BSD-3-Clause
"""Rotary embeddings of model families: which rows of a head they turn, in pairs, and how fast.

The facts follow the models' code in Transformers and, for GGUF files, the order of rows after
sigmascope has undone the permutation of llama.cpp's converters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .families import family_of, members, number, rotates

#: Models that turn components 2j and 2j + 1 together; the others turn j and j + d / 2.
_NEIGHBOURS = (
    "gptj codegen cohere cohere2 command-r glm glm4 glm4v_text chatglm helium ernie4_5 "
    "ernie4_5_moe ernie4_5-moe llama4_text deepseek_v2 deepseek_v3 deepseek2"
)
#: Models whose GGUF files keep the order of Transformers, with j and j + d / 2 together.
_GGUF_HALVES = (
    "falcon dbrx stablelm qwen qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3next olmo2 olmoe phi2 "
    "phi3 phimoe gemma gemma2 gemma3 starcoder2 gptneox nemotron exaone modern-bert"
)
_FRACTIONS = {
    "phi": 0.5,
    "stablelm": 0.25,
    "gpt_neox": 0.25,
    "nemotron": 0.5,
    "persimmon": 0.5,
    "glm": 0.5,
    "glm4": 0.5,
    "glm4v_text": 0.5,
    "glm4_moe": 0.5,
    "chatglm": 0.5,
    "qwen3_next": 0.25,
    "recurrent_gemma": 0.5,
}
_WIDTHS = {"gptj": 64, "codegen": 64}
#: Rotary scalings that leave planes and frequencies as `Rotation` describes them.
_PLAIN = (None, "default", "linear", "llama3", "mrope")
_WITH_LOCAL_BASE = ("rope_local_base_freq", "local_rope_theta", "global_rope_theta", "rope_ratio")


@dataclass(frozen=True, slots=True)
class Rotation:
    """Rows of a head that positions turn: `width` rows from `first` on; no rows if width is 0.

    `frequencies` has the angle of each plane in radians per position; it is empty if the settings
    do not determine it.
    """

    first: int
    width: int
    neighbours: bool
    frequencies: tuple[float, ...] = ()

    @property
    def planes(self) -> NDArray[np.intp]:
        """The two rows of each plane, shape (width / 2, 2)."""
        rows = self.first + np.arange(self.width)
        return rows.reshape(-1, 2) if self.neighbours else rows.reshape(2, -1).T

    @property
    def planes_by_row(self) -> NDArray[np.intp]:
        """The number of the plane of each of the `width` rows."""
        count = np.arange(self.width // 2)
        return np.repeat(count, 2) if self.neighbours else np.tile(count, 2)


def rotation_of(
    settings: Mapping[str, Any], layer: int | None, width: int, last_rows: int | None = None
) -> Rotation | None:
    """Return the rotation of a head of `width` rows; None if the family's pairs are not known.

    Parameters
    ----------
    settings
        Those of the tower.
    layer
        Layers may differ.
    width
        Number of rows of a head of q.
    last_rows
        In latent attention, the number of last rows that are turned.
    """
    turns = rotates(settings, layer)
    if turns is False:
        return Rotation(0, 0, neighbours=False)
    family = family_of(settings)
    if turns is None or not _order_is_known(settings, family):
        return None
    scaling = _scaling(settings, layer)
    if last_rows is None:
        first, count = 0, _rotated_rows(settings, scaling, family, width)
    else:
        first, count = width - last_rows, last_rows
    if count is None or count % 2 or not 0 < count <= width:
        return None
    frequencies = _frequencies(settings, scaling, count)
    return Rotation(first, count, family in _NEIGHBOURS.split(), frequencies)


def _order_is_known(settings: Mapping[str, Any], family: str) -> bool:
    """Return whether the rows of a GGUF file have an order that this module knows."""
    if "rope_permuted" not in settings:
        if family == "deepseek_v3":
            return settings.get("rope_interleave", True) is True
        return True
    restored = settings["rope_permuted"] is True
    return restored or family in _GGUF_HALVES.split() or family in _NEIGHBOURS.split()


def _scaling(settings: Mapping[str, Any], layer: int | None) -> dict[str, Any] | None:
    """Return the parameters of the rotary embedding of a layer; None if they are not clear."""
    parameters = members(settings.get("rope_parameters")) or members(settings.get("rope_scaling"))
    if not any(members(value) for value in parameters.values()):
        return parameters
    kinds = settings.get("layer_types")
    if not isinstance(kinds, list) or layer is None or not layer < len(kinds):
        return None
    return members(parameters.get(kinds[layer])) or None


def _rotated_rows(
    settings: Mapping[str, Any], scaling: Mapping[str, Any] | None, family: str, width: int
) -> int | None:
    """Return how many rows of a head are turned; None if that is not clear."""
    if scaling is None or scaling.get("rope_type") == "proportional":
        return None
    stated = number(settings.get("rotary_dim"), None)
    if family in _WIDTHS:  # a rotary_dim of null turns all rows
        default = width if "rotary_dim" in settings else _WIDTHS[family]
        return int(stated or default)
    if "rope_permuted" in settings:
        return int(stated) if stated is not None else width
    fraction = number(scaling.get("partial_rotary_factor"), None)
    for key in ("partial_rotary_factor", "rotary_pct", "rope_pct"):
        fraction = fraction or number(settings.get(key), None)
    return int(width * (fraction or _FRACTIONS.get(family, 1.0)))


def _frequencies(
    settings: Mapping[str, Any], scaling: Mapping[str, Any] | None, count: int
) -> tuple[float, ...]:
    """Return radians per position, base^(-2j / count), after the scaling of Llama 3 or a factor."""
    if scaling is None or any(key in settings for key in (*_WITH_LOCAL_BASE, "rope_permuted")):
        return ()
    kind = scaling.get("rope_type", scaling.get("type"))
    fixed = 10000.0 if family_of(settings) in _WIDTHS else None
    base = number(scaling.get("rope_theta"), fixed)
    for key in ("rope_theta", "rotary_emb_base"):
        base = base or number(settings.get(key), None)
    if base is None or kind not in _PLAIN:
        return ()
    values = [base ** (-2 * j / count) for j in range(count // 2)]
    if kind not in ("linear", "llama3"):
        return tuple(values)
    keys = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    factor, *rest = (number(scaling.get(key), None) for key in keys)
    if factor is None or (kind == "llama3" and None in rest):
        return ()
    if kind == "linear":
        return tuple(value / factor for value in values)
    low, high, length = (float(x or 0) for x in rest)
    return tuple(_slowed(value, factor, low, high, length) for value in values)


def _slowed(value: float, factor: float, low: float, high: float, length: float) -> float:
    """Return a frequency of Llama 3: divided by `factor` if its wave is longer than the training.

    A plane that turns less than `low` times in `length` positions is slowed by the factor, one that
    turns more than `high` times is not, and between them the share grows linearly.
    """
    turns = length * value / (2 * math.pi)
    if turns <= low:
        return value / factor
    if turns >= high:
        return value
    share = (turns - low) / (high - low)
    return (1 - share) * value / factor + share * value
