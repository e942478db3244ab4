# SPDX-License-Identifier: BSD-3-Clause
"""Adapters of another rank: every product B A is truncated exactly, through its r x r core."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sigmascope._host.keywords import public
from sigmascope.analysis.approximation import low_rank
from sigmascope.analysis.low_rank import LowRank
from sigmascope.checkpoint.formats.index import read_json
from sigmascope.spectra import Measure

from .adapter import Adapter
from .module import Module
from .opening import open_adapter
from .settings import NAME
from .targets import EMBEDDING, KERNEL, LINEAR, STACK, Target, check_dtype
from .writing import AdapterFolder, Carried

_PER_MODULE = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "inference_mode")
"""Settings that the new adapter does not copy from the old one."""


@dataclass(frozen=True, slots=True)
class Resized:
    """The truncation of one product.

    Attributes
    ----------
    name
        Name of the changed weight.
    before, rank
        Ranks of the old product and of the new one.
    fro_norm
        ||s B A||_F of the old product.
    remaining
        ||s B A - B' A'||_F for the factors as stored, with a bound on its error.
    relative_error
        `remaining` / `fro_norm`; 0 for a product of zeros.
    spectral_bound
        Upper bound of ||s B A - B' A'||_2.
    """

    name: str
    before: int
    rank: int
    fro_norm: float
    remaining: Measure
    relative_error: Measure
    spectral_bound: float


@public
def resize(
    adapter: Adapter | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    rank: int | None = None,
    energy: float | None = None,
    error: float | None = None,
    dtype: str = "float32",
    overwrite: bool = False,
    memory_limit: int | str | None = None,
) -> list[Resized]:
    """Write a LoRA adapter of smaller rank by truncating each product exactly.

    Exactly one of `rank`, `energy` and `error` decides the rank of each product.

    Parameters
    ----------
    adapter : Adapter or path
        One adapter, in PEFT's layout.
    out : path
        Folder of the new adapter; created if it does not exist.
    rank, energy, error
        As for :func:`low_rank`, for each product s B A. Products of smaller rank keep their rank.
    dtype : {"float32", "float16", "bfloat16"}
        Format of the stored factors.
    overwrite : bool
        Whether to replace an adapter in `out` once the new one is complete.
    memory_limit : int or str, optional
        Bytes for the truncation of one product.

    Returns
    -------
    list of Resized
        One for each product, in the order of the file, with the error of its truncation.

    Raises
    ------
    CheckpointError
        The adapter is invalid.
    TypeError
        Not exactly one of `rank`, `energy` and `error` is given.
    ValueError
        An argument is out of range, the folder holds an adapter and `overwrite` is False, or a
        change is not a plain product of two factors: DoRA, tensors saved whole.
    NonFiniteError
        A factor holds NaN or infinity.
    OSError
        A file cannot be written.

    See Also
    --------
    extract : An adapter from two checkpoints.

    Notes
    -----
    Each factor is read once, and each product takes O((m + n) r^2) time in float64. The new factors
    include the scale of the old product, so alpha equals the rank. The other settings are copied.
    Each matrix of a stack is truncated separately; the stack has the largest of their ranks.

    Examples
    --------
    >>> for each in ss.adapters.resize("adapter/", "small/", energy=0.99):  # doctest: +SKIP
    ...     print(each.name, each.before, each.rank, each.relative_error)
    """
    check_dtype(dtype)
    source = adapter if isinstance(adapter, Adapter) else open_adapter(adapter)
    modules = [source.module_of(record["name"]) for record in source.info()]
    _check_products(source, modules)
    settings = dict(read_json(Path(str(source.path)) / NAME))
    kept = {name: value for name, value in settings.items() if name not in _PER_MODULE}
    folder = AdapterFolder(Path(out), settings=kept).start(overwrite)
    resized: list[Resized] = []
    carried: list[Carried] = []
    for module in modules:
        product, target = source[module.name], _target_of(source, module)
        most = min(*product.shape, product.rank)
        wanted = rank if rank is None else min(rank, most) if rank >= 1 else rank
        near = low_rank(product, wanted, energy=energy, error=error, memory_limit=memory_limit)
        new = target.stored(near.balanced, dtype)
        folder.put(target, target.tensors(new))
        carried.append((target, new.rank))
        resized.append(_measured(module.name, product, target.change(new), near.rank))
    folder.finish(carried)
    folder.move()
    return resized


def _target_of(source: Adapter, module: Module) -> Target:
    """Return the weight that a product changes, from the names and shapes of its factors."""
    if module.parameter:
        return Target(module.weight, STACK, index=module.index or 0, count=module.count)
    _, *kernel = source.stored_shape(module.name)
    form = EMBEDDING if "lora_embedding_" in module.A else KERNEL if len(kernel) > 1 else LINEAR
    extents = tuple(kernel) if form == KERNEL else ()
    name = module.weight.removesuffix(".weight")
    return Target(name, form, transposed=module.transposed, kernel=extents)


def _check_products(source: Adapter, modules: list[Module]) -> None:
    """ValueError unless every change is the product of two factors."""
    for module in modules:
        reason = module.reason
        if module.label is not None:
            reason = "the folder holds several adapters"
        if reason:
            raise ValueError(f"{source.path}: {module.name} cannot be resized: {reason}")
    if not modules:
        raise ValueError(f"{source.path} has no products")


def _measured(name: str, old: LowRank, new: LowRank, rank: int) -> Resized:
    """Compute what remains from the exact singular values of the difference."""
    rest = (old - new).singular_values()
    count = min(len(rest.values), old.rank + new.rank)
    rounding = float(np.linalg.norm(rest.errors[:count]))
    remaining = Measure(rest.fro_norm, rounding, "exact")
    norm = old.singular_values().fro_norm
    return Resized(
        name=name,
        before=old.rank,
        rank=rank,
        fro_norm=norm,
        remaining=remaining,
        relative_error=remaining / norm if norm else remaining,
        spectral_bound=float(rest.values[0] + rest.errors[0]),
    )
