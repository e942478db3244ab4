# SPDX-License-Identifier: BSD-3-Clause
"""The record of a stored tensor."""

from __future__ import annotations

from typing import TypedDict


class TensorRecord(TypedDict):
    """Properties of one stored tensor that are known without reading its data.

    A tensor that can be analysed has the `status` "matrix", "stack" or "kernel". `matrices` names
    its matrices in the checkpoint; `view` describes how they are read if that is not obvious.

    Any other tensor has a `reason` why it has no spectrum. Its `status` is "scalar", "vector",
    "empty", "integer", "scale" or "part"; "tied" for a second name of another tensor; "other" for
    an entry that is not a tensor; and "unreadable" for a weight that cannot be analysed.

    If several ranks hold pieces of a tensor, `shape` describes the joined tensor, `nbytes` is the
    sum over all pieces, and `file` and `offset` locate the first piece.
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
