# SPDX-License-Identifier: BSD-3-Clause
"""The record of a stored tensor."""

from __future__ import annotations

from typing import TypedDict


class TensorRecord(TypedDict):
    """Properties of one stored tensor that are known without reading its data.

    `status` is "matrix", "stack" or "kernel" for tensors that can be analysed; `matrices` then
    names their matrices in the checkpoint, and `view` describes how they are read if that is not
    obvious. Otherwise `reason` says why there is no spectrum, and `status` is "scalar", "vector",
    "empty", "integer", "scale" or "part" for tensors that have none, "tied" for a second name of
    another tensor, "other" for an entry that is not a tensor, and "unreadable" for a weight
    that cannot be analysed. For a tensor in pieces on several ranks `shape` is that of the joined
    tensor, `nbytes` the sum, and `file` and `offset` are those of the first piece.
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
    tower: str | None
    expert: int | None
    head: int | None
