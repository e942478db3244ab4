# SPDX-License-Identifier: BSD-3-Clause
"""The flags of commands, from the table of options, and options of the terminal (extra ``cli``)."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import wraps
from glob import escape, glob
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer

from sigmascope._tables.options import Option

C = TypeVar("C", bound=Callable[..., None])

_VALUES: dict[str, Any] = {
    "bool": bool,
    "int": int,
    "int | None": int | None,
    "int | str | None": str | None,
    "float": float,
    "float | None": float | None,
    "str": str,
    "str | None": str | None,
    "str | Sequence[str] | None": list[str] | None,
    "Patterns": list[str] | None,
    "PathLike | None": Path | None,
    "Paths": list[Path] | None,
    "Source | None": Path | None,
    "tuple[int, int] | None": str | None,
}
"""Types of options of functions, and types of the values that the command line makes."""


def takes(options: Iterable[Option]) -> Callable[[C], C]:
    """Return a decorator that replaces the ``**options`` of a command by the flags of options.

    The flags stand after the required parameters and before the command's own options, which are
    keyword-only. The command gets each value by the name of the option; a choice is a plain text.
    """
    flags = [parameter_of(option) for option in options if option.flag]

    def decorate(command: C) -> C:
        own = inspect.signature(command, eval_str=True)
        parameters = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        place = sum(p.default is p.empty for p in parameters)
        parameters[place:place] = flags

        @wraps(command)
        def call(*args: Any, **values: Any) -> None:
            command(*args, **{name: _plain(value) for name, value in values.items()})

        call.__annotations__ = {each.name: each.annotation for each in parameters}
        call.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return cast("C", call)

    return decorate


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value


def parameter_of(option: Option) -> Parameter:
    """Return an option as a parameter of a command."""
    kind, default = _VALUES[option.type], option.default_of_command
    if option.choices:
        kind = cast("Any", StrEnum)(option.name, {each.upper(): each for each in option.choices})
        default = kind(default)
    flag = typer.Option(
        *option.flag.split(), help=option.help, metavar=option.metavar or None, min=option.least
    )
    return Parameter(
        option.name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, flag]
    )


def paths_here(incomplete: str) -> list[str]:
    """Complete a path for the shell; a URL is left as it is."""
    paths = sorted(glob(f"{escape(incomplete)}*"))
    return [f"{path}/" if os.path.isdir(path) else path for path in paths]


def path_argument(metavar: str, help: str) -> Any:
    """Return the declaration of an argument that is a path or a URL, which the shell completes."""
    return typer.Argument(metavar=metavar, help=help, show_default=False, autocompletion=paths_here)


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the rows as JSON, one per line, instead of tables.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress while it runs.")]
ReferenceOption = Annotated[
    Path | None,
    typer.Option(
        "--reference",
        "--calibration",
        metavar="FILE",
        help="A calibration that `sigmascope calibrate` made from runs whose data is known. With "
        "it, the result says how narrow or broad the training data was. `example` shows "
        "what an answer looks like.",
    ),
]
RecipeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Part of the recipe by which the model was trained, such as lr=1e-5, to compare "
        "with the recipe of the calibration. Repeatable.",
    ),
]
AlphaOption = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=0.5,
        metavar="P",
        help="Significance level; a smaller level requires stronger evidence for a verdict.",
    ),
]
CheckpointArgument = Annotated[
    str,
    path_argument(
        "PATH",
        "A .safetensors, .gguf, .onnx, .pt, .npy or .h5 file (extra hdf5); a folder of such "
        "files; a folder of torch.distributed.checkpoint or orbax (extra tensorstore); the folder "
        "of a LoRA adapter; or the folder of a model in the cache of the Hugging Face Hub. Or a "
        "URL: hf://org/model@revision, https://…, s3://…, gs://…, az://…. Headers and tensors at a "
        "URL are read when they are used; nothing is stored on this machine.",
    ),
]
