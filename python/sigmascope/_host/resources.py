# SPDX-License-Identifier: BSD-3-Clause
"""The device, threads, memory and executor of several calls, given once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Any, Self

from .kinds import Kind
from .memory import resolve_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The device, threads, memory and workers of calls, given by one keyword or for a block.

    Examples
    --------
    For one call, and for every call in a block:

    >>> import numpy as np, sigmascope as ss
    >>> A = np.random.default_rng(0).standard_normal((60, 40))
    >>> small = ss.Resources(num_threads=1, memory_limit="500MB")
    >>> ss.svds(A, k=3, resources=small).num_threads
    1
    >>> with ss.Resources(num_threads=1):
    ...     ss.svds(A, k=3).num_threads, ss.svds(A, k=3, num_threads=2).num_threads
    (1, 2)

    Parameters
    ----------
    device : str, optional
        As for :func:`svds`, or for :func:`scan`.
    num_threads : int, optional
        Number of threads.
    memory_limit : int or str, optional
        Bytes, or a text like "2GiB".
    executor : concurrent.futures.Executor, optional
        As for :func:`svds`, or for :func:`scan`.

    Raises
    ------
    TypeError, ValueError
        If a value is of another kind or out of range. A call raises DeviceError if there is no such
        device.

    See Also
    --------
    set_num_threads : Set the number of threads of calls for which nothing else gives one.

    Notes
    -----
    Each of the four values comes from the first of these that gives it: the keyword of the call
    (None gives nothing), `resources` of the call, the innermost block, the blocks around it,
    :func:`set_num_threads`, the default of the function.

    Every public function with all four keywords takes `resources`. A block applies to every public
    function, which takes from it the values that it has keywords for. A function refuses the same
    values as in keywords: a stack of matrices takes no executor. A block applies in the thread, or
    the asyncio task, that runs it; other threads and processes have their own blocks. The results
    have the same bits as with the same values in keywords.
    """

    device: str | None = None
    num_threads: int | None = None
    memory_limit: int | str | None = None
    executor: Executor | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            kind = Kind.of(field.type)
            if kind is not None and field.name != "memory_limit":
                kind.checked("Resources", field.name, getattr(self, field.name))
        if self.num_threads is not None and self.num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, not {self.num_threads}")
        if self.memory_limit is not None:
            resolve_memory(self.memory_limit)

    def __enter__(self) -> Self:
        _BLOCKS.set((*_BLOCKS.get(), self))
        return self

    def __exit__(self, *_: object) -> None:
        _BLOCKS.set(_BLOCKS.get()[:-1])


_BLOCKS: ContextVar[tuple[Resources, ...]] = ContextVar("sigmascope.Resources", default=())
"""The blocks around the code that runs, the innermost last."""

NAMES = tuple(field.name for field in fields(Resources))


def with_resources(keywords: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the keywords of a call, with those of `names` filled in from its resources and blocks.

    The keyword `resources` itself is removed.
    """
    filled = dict(keywords)
    own = filled.pop("resources", None)
    for source in (own, *reversed(_BLOCKS.get())):
        for name in names:
            if filled.get(name) is None and getattr(source, name, None) is not None:
                filled[name] = getattr(source, name)
    return filled
