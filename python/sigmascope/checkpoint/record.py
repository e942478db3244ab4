# SPDX-License-Identifier: BSD-3-Clause
"""What is known of a stored tensor without reading its data."""

from __future__ import annotations

from typing import TypedDict


class TensorRecord(TypedDict):
    """What is known of one stored tensor without reading its data.

    `status` is "matrix", "stack" or "kernel" for tensors that can be analysed, `matrices` then
    names their matrices in the checkpoint and `view` says how they are read where that is not
    plain. Otherwise `reason` says why there is no spectrum, and `status` is "scalar", "vector",
    "empty", "integer", "scale" or "part" where none is to be expected, "tied" where it is another
    tensor under a second name, "other" where it is no tensor, and "unreadable" where a weight is
    lost to the analysis. Of a tensor in pieces on several ranks, `shape` is that of the whole,
    `nbytes` the sum, and `file` and `offset` are those of the first piece.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    file: str
    offset: int
    status: str
    reason: str | None
    view: str | None
    matrices: tuple[str, ...]
    layer: int | None
    role: str
    tower: str
    expert: int | None
    head: int | None
