# SPDX-License-Identifier: BSD-3-Clause
"""Settings of quantised weights, from a model's config.json or a separate file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sigmascope.errors import CheckpointError

from .formats.index import read_json
from .formats.jsontext import Members
from .remote.failures import MissingFileError
from .remote.paths import Place

Settings = dict[str, Any]
"""Settings with `quant_method`, the name of the layout."""


def stated_settings(model: Mapping[str, Any]) -> Settings:
    """Return the settings in a config.json; MLX does not name a method, and has a separate key."""
    section: Any = model.get("quantization_config")
    settings = dict(section) if isinstance(section, Members) else {}
    if isinstance(settings.get("quant_method"), str):
        return settings
    own: Any = model.get("quantization")
    return {"quant_method": "mlx"} | dict(own) if isinstance(own, Members) else settings


def common_block(settings: Mapping[str, Any]) -> Any:
    """Return the block size that all groups of modules of compressed-tensors share, or None."""
    groups = settings.get("config_groups")
    members = [each for _, each in groups] if isinstance(groups, Members) else []
    weights = [dict(each).get("weights") for each in members if isinstance(each, Members)]
    blocks = [dict(each).get("block_structure") for each in weights if isinstance(each, Members)]
    return blocks[0] if blocks and all(block == blocks[0] for block in blocks) else None


def own_settings(folder: Place) -> tuple[Settings | None, tuple[str, ...]]:
    """Return the settings from a separate file, and notes on unused files."""
    notes: list[str] = []
    for name, interpret in _OWN_FILES:
        path = folder / name
        if isinstance(path, Path) and not path.exists():
            continue
        try:
            stored = read_json(path)
        except MissingFileError:
            continue
        except CheckpointError as error:
            notes.append(f"{name} not used: {error}")
            continue
        settings = interpret(stored)
        if settings is not None:
            return settings, tuple(notes)
        notes.append(f"{name} not used: it has no settings of {_LAYOUTS[name]}")
    return None, tuple(notes)


def _modelopt(stored: Mapping[str, Any]) -> Settings | None:
    producer, settings = stored.get("producer"), stored.get("quantization")
    maker = dict(producer).get("name") if isinstance(producer, Members) else None
    if maker != "modelopt" or not isinstance(settings, Members):
        return None
    return {**dict(settings), "quant_method": "modelopt"}


def _gptq(stored: Mapping[str, Any]) -> Settings | None:
    if "bits" not in stored or stored.get("quant_method", "gptq") != "gptq":
        return None
    return {**stored, "quant_method": "gptq"}


def _awq(stored: Mapping[str, Any]) -> Settings | None:
    if "w_bit" not in stored:
        return None
    sizes = {"bits": stored["w_bit"], "group_size": stored.get("q_group_size")}
    return {**stored, **sizes, "quant_method": "awq"}


#: modelopt's config.json has its settings since 2025, those of GPTQ and AWQ since 2023.
_OWN_FILES: tuple[tuple[str, Callable[[Mapping[str, Any]], Settings | None]], ...] = (
    ("hf_quant_config.json", _modelopt),
    ("quantize_config.json", _gptq),
    ("quant_config.json", _awq),
)
_LAYOUTS = {
    "hf_quant_config.json": "modelopt",
    "quantize_config.json": "GPTQ",
    "quant_config.json": "AWQ",
}
