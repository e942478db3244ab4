# SPDX-License-Identifier: BSD-3-Clause
"""Tensor parallelism: join the pieces of a matrix from several ranks.

The role of a tensor determines the axis that was cut (Megatron; Shoeybi et al. 2019). Where a layer
begins (q, k, v, gate, up, and the head), outputs are cut, which are rows. Where a layer ends (o,
down), inputs are cut, which are columns. For embeddings, the width of the model decides. Every rank
stores norms and routers in full. A tensor is unreadable if neither role nor shape decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sigmascope.errors import CheckpointError

from .formats.index import format_names
from .naming.roles import Role
from .views import Extent, Located, Reading, View

_ROWS = {"q", "k", "v", "qkv", "gate", "up", "gate_up", "unembed"}
_COLUMNS = {"o", "down"}
_WHOLE = {"router", "positions", "token_types"}


def check_ranks(ranks: Sequence[Mapping[str, Located]]) -> None:
    """Check that every rank holds the same tensors, in the same dtypes.

    Raises
    ------
    CheckpointError
        The ranks differ; the message names files and tensors.
    """
    first = ranks[0]
    for number, rank in enumerate(ranks[1:], 1):
        if different := sorted(first.keys() ^ rank.keys()):
            raise CheckpointError(
                f"ranks 0 and {number} hold different tensors: {format_names(different)}"
            )
        for name, located in rank.items():
            here, there = located.entry, first[name].entry
            if here.dtype != there.dtype or len(here.shape) != len(there.shape):
                raise CheckpointError(
                    f"{located.header.path}: tensor {name!r} is {here.dtype} {list(here.shape)}, "
                    f"but that of rank 0 is {there.dtype} {list(there.shape)}"
                )


def width_of(tensors: Mapping[str, Located], roles: Mapping[str, Role]) -> int | None:
    """Return the width of a model: the length of its norm vectors, if they agree."""
    widths = {
        located.entry.shape[0]
        for name, located in tensors.items()
        if roles[name].role in ("attention_norm", "mlp_norm", "final_norm")
        and len(located.entry.shape) == 1
    }
    return widths.pop() if len(widths) == 1 else None


def joined(
    pieces: Sequence[Reading], role: Role, width: int | None, key_heads: int | None
) -> Reading:
    """Join the pieces of one tensor.

    Parameters
    ----------
    pieces : sequence of Reading
        The piece of each rank, in the order of the ranks.
    role : Role
        Role of the tensor.
    width : int or None
        Width of the model, if it is known; the length of the axis that is not cut.
    key_heads : int or None
        Number of heads of keys and values, if it is known. With fewer heads than ranks, several
        ranks hold copies.
    """
    first, count = pieces[0], len(pieces)
    if not first.views:
        return first
    if any(len(piece.views) != len(first.views) for piece in pieces):
        return Reading("unreadable", reason="the ranks hold different numbers of slices")
    if role.role in ("k", "v") and key_heads is not None and key_heads < count:
        reason = f"{key_heads} heads on {count} ranks: some hold copies, but it is unknown which"
        return Reading("unreadable", reason=reason)
    axis = _axis(role, first.views[0].full_shape, width, count)
    if isinstance(axis, str):
        return Reading("unreadable", reason=axis)
    if axis is None:
        how = f"whole on each of {count} ranks; that of rank 0 is read"
        return Reading(first.status, first.views, "; ".join(filter(None, (first.how, how))))
    across = {piece.views[0].full_shape[1 - axis] for piece in pieces}
    if len(across) > 1 or (width is not None and role.role != "embed" and across != {width}):
        sizes = [list(piece.views[0].full_shape) for piece in pieces]
        what = ("rows", "columns")[axis]
        reason = f"pieces {sizes} do not join by {what} to a matrix of width {width or 'one'}"
        return Reading("unreadable", reason=reason)
    views = tuple(
        _joined_view([piece.views[index] for piece in pieces], axis)
        for index in range(len(first.views))
    )
    full = views[0].full_shape
    how = f"{('rows', 'columns')[axis]} of {count} ranks joined"
    shape = full if first.status == "matrix" else (len(views), *full)
    return Reading(first.status, views, "; ".join(filter(None, (first.how, how))), shape=shape)


def _axis(role: Role, shape: tuple[int, int], width: int | None, count: int) -> int | str | None:
    """Return the axis that is cut, None if each rank has the whole tensor, or why it is unknown."""
    name = role.role.removesuffix(".blocks").removeprefix("cross_").removeprefix("shared_")
    if name in _WHOLE or name.endswith("norm"):
        return None
    if name in _ROWS or name in _COLUMNS:
        return 0 if name in _ROWS else 1
    if name == "embed" and width is not None:
        axes = [axis for axis, full in ((0, shape[1]), (1, shape[1] * count)) if full == width]
        if len(axes) == 1:
            return axes[0]
    return f"a piece of {list(shape)} on each of {count} ranks: the axis that is cut is ambiguous"


def _joined_view(pieces: Sequence[View], axis: int) -> View:
    extents: tuple[Extent, ...] = tuple(piece.grid[0][0] for piece in pieces)
    grid = tuple((extent,) for extent in extents) if axis == 0 else (extents,)
    return View(pieces[0].name, pieces[0].tensor, grid, pieces[0].index)
