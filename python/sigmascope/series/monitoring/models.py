# SPDX-License-Identifier: BSD-3-Clause
"""The tensors of a model in training: a module, a mapping, or a function without arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sigmascope.checkpoint.tensors import HasStateDict, Tensors

Model = Tensors | Callable[[], Tensors]
"""A module of torch, a mapping of names to arrays, or a function that returns one of these."""

_FULL = (
    "pass a function that returns full tensors, such as the state dict that "
    "torch.distributed.checkpoint.state_dict.get_model_state_dict gathers"
)


def tensors_of(model: Model) -> Tensors:
    """Return the tensors of a model as they are now.

    Raises
    ------
    TypeError
        If the model is something else.
    ValueError
        If this process has only a part of the parameters, and the parameters do not say so
        themselves: FullyShardedDataParallel, ZeRO stage 3.
    """
    source: Any = model
    if not isinstance(model, Mapping | HasStateDict) and callable(model):
        source = model()
    if not isinstance(source, Mapping | HasStateDict):
        kind = type(source).__name__
        expected = "a module, a mapping of names to arrays, or a function of one"
        raise TypeError(f"expected {expected}; got {kind}")
    _check_whole(source)
    return source


def _check_whole(model: Tensors) -> None:
    """Refuse modules that hold flat or empty parameters instead of shards."""
    if callable(modules := getattr(model, "modules", None)):
        for module in modules():
            kinds = {base.__name__ for base in type(module).__mro__}
            if "FullyShardedDataParallel" in kinds:
                kind = type(module).__name__
                raise ValueError(f"a {kind} holds flat shards instead of its parameters; {_FULL}")
    if callable(named := getattr(model, "named_parameters", None)):
        for name, parameter in named():
            if hasattr(parameter, "ds_id") and parameter.numel() == 0:
                where = "is partitioned by ZeRO and empty in this process"
                raise ValueError(f"parameter {name} {where}; {_FULL}")
