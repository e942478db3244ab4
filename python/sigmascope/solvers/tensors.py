# SPDX-License-Identifier: BSD-3-Clause
"""Singular triplets as torch tensors, for callers whose matrices are torch tensors.

torch is not imported here: a caller who passes a tensor has imported it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from sigmascope.matrices.array_libraries import library_of
from sigmascope.matrices.device_arrays import lies_on_device
from sigmascope.spectra import SVD, SVDStack

Found = TypeVar("Found", SVD, SVDStack)


def as_callers_arrays(source: Any, triplets: Found) -> Found:
    """Return U, s and Vt as torch tensors if `source` consists of tensors on the host.

    The tensors share the memory of the arrays. Triplets of other sources are returned as they are.
    """
    tensor = _tensor_maker(source)
    if tensor is None:
        return triplets
    arrays = {"U": triplets.U, "s": triplets.s, "Vt": triplets.Vt}
    tensors = {name: tensor(array) for name, array in arrays.items() if array is not None}
    if isinstance(triplets, SVD):
        return replace(triplets, **tensors)
    outcomes = tuple(
        one if isinstance(one, Exception) else as_callers_arrays(source, one)
        for one in triplets.outcomes
    )
    return replace(triplets, outcomes=outcomes, **tensors)


def _tensor_maker(source: Any) -> Callable[[Any], Any] | None:
    """Return torch's function for an array without a copy; None for other sources."""
    if isinstance(source, list | tuple):
        makers = [_tensor_maker(part) for part in source]
        return makers[0] if makers and all(makers) else None
    library = library_of(source)
    if library is None or library.name != "torch" or lies_on_device(source):
        return None
    maker: Callable[[Any], Any] = library.module.from_dlpack
    return maker
