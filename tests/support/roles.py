# SPDX-License-Identifier: BSD-3-Clause
"""Roles of the tensors of a model of which nothing is known but their names, and its type."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from sigmascope.checkpoint import open_checkpoint
from sigmascope.checkpoint.naming.roles import Role


class NamedTensors:
    """A module with a state dict of single numbers, and settings that give its type."""

    def __init__(self, names: Iterable[str], model_type: str | None) -> None:
        self._names = tuple(names)
        self.config = SimpleNamespace(to_dict=lambda: {"model_type": model_type})

    def state_dict(self) -> dict[str, Any]:
        return {name: np.ones(1, np.float32) for name in self._names}


def roles_in_model(
    names: Iterable[str], model_type: str | None = None, rules: Any = None
) -> dict[str, Role]:
    """Roles by name of the tensors of one model, by `rules` first."""
    return dict(open_checkpoint(NamedTensors(names, model_type), rules=rules).roles)


def role_alone(name: str, model_type: str | None = None, rules: Any = None) -> Role:
    """Role of the only tensor of a model."""
    return roles_in_model([name], model_type, rules)[name]
