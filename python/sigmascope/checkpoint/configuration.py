# SPDX-License-Identifier: BSD-3-Clause
"""The config.json (or params.json) of a model: quantisation, heads, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sigmascope.errors import CheckpointError

from .formats.index import read_json
from .formats.jsontext import Members, brief
from .quantisation_settings import common_block, own_settings, stated_settings
from .remote.failures import MissingFileError
from .remote.paths import Place

# Keys under which the settings of a tower are nested; the first that is present counts. Towers that
# are not listed use those of text.
_TEXT = ("text_config", "llm_config", "language_config")
_NESTED = {"vision": ("vision_config", "vit_config"), "audio": ("audio_config",), "projector": ()}
# Models that consist of one tower, with its settings at the top level.
_ALONE = {
    "vision": (
        "clip_vision_model siglip_vision_model siglip2_vision_model aimv2_vision_model "
        "intern_vit_6b pixtral vit deit beit dinov2 dinov2_with_registers dinov3_vit"
    ),
    "audio": "wav2vec2 hubert wavlm",
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings of a model, with notes if they could not be read.

    Attributes
    ----------
    method : str or None
        `quant_method`, which names the layout of quantised weights.
    block : tuple of int or None
        Block size of fp8 scales.
    model : mapping
        All settings; empty if there are none.
    quantisation : mapping
        Settings of the layout of quantised weights; empty if there are none.
    """

    method: str | None = None
    block: tuple[int, int] | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    quantisation: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def model_type(self) -> str | None:
        """The model_type, or None."""
        named = self.model.get("model_type")
        return named if isinstance(named, str) else None

    @property
    def architecture(self) -> str | None:
        """The first of `architectures`, else the model_type; None if there is neither."""
        named = self.model.get("architectures")
        first = named[0] if isinstance(named, list) and named else None
        return first if isinstance(first, str) else self.model_type

    def of_tower(self, tower: str) -> Mapping[str, Any]:
        """Return the settings of one tower: nested ones, or for text those of the top level.

        Nested settings without a model_type get the model_type of the model. A model that consists
        of only this tower has its settings at the top level.
        """
        for name in _NESTED.get(tower, _TEXT):
            nested = self.model.get(name)
            if isinstance(nested, Members):
                return {"model_type": self.model.get("model_type")} | dict(nested)
        alone = self.model_type in _ALONE.get(tower, "").split()
        return self.model if alone or tower not in _NESTED else {}


def stored_configuration(folder: Place | None, settings: Mapping[str, Any] | None) -> Configuration:
    """Return the settings in the files of a model, or else in its folder."""
    return read_configuration(folder) if settings is None else Configuration(model=settings)


def read_configuration(folder: Place | None) -> Configuration:
    """Read the config.json of a folder, else its params.json; empty if there is neither.

    A file that cannot be read gives a note, not an error: the weights can be read without it.
    """
    if folder is None:
        return Configuration()
    for name in ("config.json", "params.json"):
        path = folder / name
        if isinstance(path, Path) and not path.exists():
            continue
        try:
            config = configured(read_json(path))
        except MissingFileError:
            continue
        except CheckpointError as error:
            return Configuration(notes=(f"{path.name} not used: {error}",))
        return config if config.quantisation else _with_own_file(config, folder)
    return Configuration()


def _with_own_file(config: Configuration, folder: Place) -> Configuration:
    """Add the settings of quantised weights from their separate file, if there is one."""
    settings, notes = own_settings(folder)
    config = replace(config, notes=(*config.notes, *notes))
    if settings is None:
        return config
    return replace(config, method=settings["quant_method"], quantisation=settings)


def configured(model: Mapping[str, Any]) -> Configuration:
    """Return the configuration of parsed settings, whose objects are `Members`."""
    settings = stated_settings(model)
    method = settings.get("quant_method")
    block = settings.get("weight_block_size", common_block(settings))
    name = method if isinstance(method, str) else None
    if block is None:
        return Configuration(name, model=model, quantisation=settings)
    if type(block) is list and len(block) == 2 and all(type(b) is int and b > 0 for b in block):
        return Configuration(name, (block[0], block[1]), model, settings)
    note = f"config.json: weight_block_size {brief(block)} not used"
    return Configuration(name, model=model, quantisation=settings, notes=(note,))
