# SPDX-License-Identifier: BSD-3-Clause
"""Folders of LoRA adapters in PEFT's layout, written module by module.

The factors of each change are a separate file in the folder `parts` until all are there. Then they
are joined into adapter_model.safetensors. The settings are written last, so an incomplete folder is
never an adapter.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sigmascope._host.replacing import replacing
from sigmascope.checkpoint.formats.safetensors_output import (
    Tensors,
    join_safetensors,
    read_header,
    read_safetensors,
    write_safetensors,
)
from sigmascope.errors import CheckpointError

from .parameters import wrapped
from .settings import NAME
from .targets import STACK, Target, factor_name, stacked
from .whole import SavedTensors

WEIGHTS = "adapter_model.safetensors"

_LONGEST = 180
"""Longest name of a part in bytes; a longer one ends with a digest of the rest."""

LAYOUT = "0.20.0"
"""Version of PEFT that introduced the written layout of stacks."""

_SAVED = ".saved"
"""Name of the part with tensors that are saved in full; modules do not have such a name."""

Carried = tuple[Target, int]
"""A weight that is changed, and the rank of its change."""


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """The folder of an adapter that is being written.

    Attributes
    ----------
    path : Path
    settings : mapping
        Settings that extend or replace the settings that follow from the ranks, for example
        `base_model_name_or_path` and `fan_in_fan_out`.
    replaced : Path or None
        The folder of an adapter that this one replaces when it is complete.
    """

    path: Path
    settings: Mapping[str, Any]
    replaced: Path | None = None

    def start(self, overwrite: bool) -> AdapterFolder:
        """Make the folder, or a folder beside it if a complete adapter is to be replaced.

        Raises
        ------
        ValueError
            The folder holds a complete adapter, and `overwrite` is False.
        """
        folder = self
        ended = (self.path / NAME).exists() and not self._parts.exists()
        if ended or (overwrite and (self.path / NAME).exists()):
            if not overwrite:
                raise ValueError(
                    f"{self.path} already holds an adapter; overwrite (--overwrite) replaces it "
                    "when the new one is complete"
                )
            beside = self.path.with_name(f"{self.path.absolute().name}.new")
            folder = AdapterFolder(beside, self.settings, replaced=self.path)
        folder._parts.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def _parts(self) -> Path:
        return self.path / "parts"

    def _part(self, module: str) -> Path:
        stem = quote(module, safe="")
        if len(stem) > _LONGEST:
            stem = stem[: _LONGEST - 17] + "-" + hashlib.sha256(module.encode()).hexdigest()[:16]
        return self._parts / f"{stem}.safetensors"

    def put(self, target: Target, tensors: Tensors) -> None:
        """Write the factors of one change, as :meth:`Target.tensors` returns them."""
        write_safetensors(self._part(target.part), tensors)

    def rank_of(self, target: Target) -> int | None:
        """Return the rank of a stored change; None if its part is missing or broken."""
        try:
            header = read_header(self._part(target.part))
            return int(header[factor_name(target.part, "A", target.form)]["shape"][0])
        except (OSError, CheckpointError, KeyError):
            return None

    def finish(
        self,
        carried: Sequence[Carried],
        saved: SavedTensors | None = None,
        seeds: Iterable[int] = (),
    ) -> None:
        """Join the parts of all changes and the saved tensors, and write the settings.

        The factors of only one stack are in memory at a time. The metadata of the weights has the
        seeds of the searches.

        Raises
        ------
        OSError
            A file cannot be written; the parts stay, so that the call can be repeated.
        CheckpointError
            A part is broken.
        """
        stacks: dict[str, list[Carried]] = {}
        for target, rank in carried:
            if target.form == STACK:
                stacks.setdefault(target.module, []).append((target, rank))
        names = wrapped(list(stacks))
        for parameter, matrices in stacks.items():
            self._stack(parameter, names[parameter], [target for target, _ in matrices])
        parts = dict.fromkeys(target.module for target, _ in carried)
        if saved is not None and saved.tensors:
            write_safetensors(self._part(_SAVED), saved.named(_depths(carried)))
            parts[_SAVED] = None
        join_safetensors(self.path / WEIGHTS, map(self._part, parts), seeds)
        settings = self._settings(carried) | ({} if saved is None else saved.settings())
        text = json.dumps(settings, indent=2)
        with replacing(self.path / NAME, alone=True) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        shutil.rmtree(self._parts, ignore_errors=True)

    def move(self) -> None:
        """Replace the files of the old adapter, if there is one, with those of the complete one.

        The old settings are removed first, and the new ones are moved last. The folder therefore
        never has the weights of one adapter with the settings of the other. Other files stay.
        """
        if self.replaced is None:
            return
        (self.replaced / NAME).unlink()
        for path in sorted(self.path.iterdir(), key=lambda path: path.name == NAME):
            path.replace(self.replaced / path.name)
        self.path.rmdir()

    def _stack(self, parameter: str, wrapper: str, targets: Sequence[Target]) -> None:
        """Write the part of a stack from the parts of its matrices."""
        factors, dtype = [], ""
        for target in targets:
            part = read_safetensors(self._part(target.part))
            (dtype, A), (_, B) = (part[factor_name(target.part, side)] for side in "AB")
            factors.append((target.index, A, B))
        A, B = stacked(factors, targets[0].count)
        tensors = {factor_name(wrapper, "A"): (dtype, A), factor_name(wrapper, "B"): (dtype, B)}
        write_safetensors(self._part(parameter), tensors)

    def _settings(self, carried: Sequence[Carried]) -> dict[str, Any]:
        """Return adapter_config.json; alpha is the rank of every module, so the scale is 1."""
        ranks: dict[str, int] = {}
        for target, rank in carried:
            ranks[target.module] = max(rank, ranks.get(target.module, 1))
        parameters = [target.module for target, _ in carried if target.form == STACK]
        r = Counter(ranks.values() or [1]).most_common(1)[0][0]
        others = {f"^{re.escape(name)}": rank for name, rank in ranks.items() if rank != r}
        settings = {
            "peft_type": "LORA",
            "task_type": None,
            "base_model_name_or_path": None,
            "inference_mode": True,
            "r": r,
            "lora_alpha": r,
            "rank_pattern": others,
            "alpha_pattern": others,
            "target_modules": [name for name in ranks if name not in parameters],
            "fan_in_fan_out": False,
            "bias": "none",
            "lora_dropout": 0.0,
            "modules_to_save": None,
            "init_lora_weights": True,
            "use_rslora": False,
            "use_dora": False,
            **self.settings,
        }
        if parameters and not settings.get("target_parameters"):
            # Versions of PEFT without this setting refuse it. The stated version is the first with
            # this layout of stacks.
            settings["target_parameters"] = list(dict.fromkeys(parameters))
            settings.setdefault("peft_version", LAYOUT)
        return settings


def _depths(carried: Sequence[Carried]) -> dict[str, int]:
    """Count the layers of PEFT around every module."""
    weights = {target.module: target.form == STACK for target, _ in carried}
    names = (name.rpartition(".")[0] if stack else name for name, stack in weights.items())
    return Counter(names)
